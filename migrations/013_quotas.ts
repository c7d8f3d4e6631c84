/** The limits that an admin has set for single domains, and what makes counting against them cheap. */
import type { Knex } from 'knex';

/**
 * Most quotas are counted from the rows themselves, by the indexes below. Two would be long to count (a million users,
 * the bytes of all recordings): the database keeps their sums in the transaction that changes the rows, so that they
 * can't drift from them.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
create table quotas (
  domain_id uuid not null references domains(id) on delete cascade,
  quota text not null,
  amount bigint not null check (amount >= 0),
  changed_at timestamptz not null default now(),
  primary key (domain_id, quota)
);
create table domain_sums (
  domain_id uuid primary key references domains(id) on delete cascade,
  users bigint not null default 0,
  recorded_bytes bigint not null default 0
);
insert into domain_sums (domain_id, users, recorded_bytes)
select d.id,
  (select count(*) from users u where u.domain_id = d.id),
  (select coalesce(sum(p.bytes), 0) from recordings r join recording_parts p on p.recording_id = r.id
   where r.domain_id = d.id and p.state = 'stored')
from domains d;

create function sum_users_added() returns trigger language plpgsql as $$
begin
  insert into domain_sums as s (domain_id, users)
  select domain_id, count(*) from added group by domain_id order by domain_id
  on conflict (domain_id) do update set users = s.users + excluded.users;
  return null;
end $$;
create function sum_users_removed() returns trigger language plpgsql as $$
begin
  update domain_sums s set users = s.users - gone.count
  from (select domain_id, count(*) as count from removed group by domain_id) gone where gone.domain_id = s.domain_id;
  return null;
end $$;
create trigger users_added after insert on users referencing new table as added
  for each statement execute function sum_users_added();
create trigger users_removed after delete on users referencing old table as removed
  for each statement execute function sum_users_removed();

create function sum_recorded_bytes() returns trigger language plpgsql as $$
declare
  change bigint := 0;
begin
  if tg_op <> 'INSERT' and old.state = 'stored' then change := change - coalesce(old.bytes, 0); end if;
  if tg_op <> 'DELETE' and new.state = 'stored' then change := change + coalesce(new.bytes, 0); end if;
  if change = 0 then return null; end if;
  insert into domain_sums as s (domain_id, recorded_bytes)
  select r.domain_id, change from recordings r where r.id = coalesce(new.recording_id, old.recording_id)
  on conflict (domain_id) do update set recorded_bytes = s.recorded_bytes + excluded.recorded_bytes;
  return null;
end $$;
create trigger recording_parts_sum after insert or delete or update of state, bytes on recording_parts
  for each row execute function sum_recorded_bytes();

create index calls_open_of_domain on calls (domain_id, state) where state <> 'ended';
create index sessions_living_of_domain on sessions (domain_id, state) where state <> 'ended';
create index grants_open_of_domain on grants (domain_id, expires_at) where closed_at is null;
create index relays_open_of_domain on relays (domain_id) where state not in ('stopped','failed');
create index recordings_running_of_domain on recordings (domain_id) where desired <> 'stopped';
create index recording_parts_arriving on recording_parts (recording_id)
  where state in ('starting','recording','stopping','uploading');
create index registrations_domain on registrations (domain_id, user_id);
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
drop index if exists calls_open_of_domain, sessions_living_of_domain, grants_open_of_domain, relays_open_of_domain,
  recordings_running_of_domain, recording_parts_arriving, registrations_domain;
drop trigger if exists recording_parts_sum on recording_parts;
drop trigger if exists users_added on users;
drop trigger if exists users_removed on users;
drop function if exists sum_recorded_bytes, sum_users_added, sum_users_removed;
drop table if exists domain_sums, quotas`);
}
