/** A call is queued, and placed on a node, by one statement each: what it must not exceed is held for no round trip. */
import type { Knex } from 'knex';

/**
 * Functions, since each statement inside sees what was committed while the one before it waited: a count behind a lock is
 * exact. In one statement of CTEs it would be as old as the statement.
 *
 * Locks are taken in the order that all else takes them in: the call's row, the domain's quotas (quotas.store.ts), the
 * head of its events.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
create function append_event(
  in_stream text, in_type text, in_call_id uuid, in_node_id uuid, in_data jsonb,
  out event_number bigint, out event_at timestamptz
) language plpgsql as $$
begin
  insert into event_heads as h (stream, last_number) values (in_stream, 1)
    on conflict (stream) do update set last_number = h.last_number + 1 returning h.last_number into event_number;
  insert into events as e (stream, number, type, call_id, node_id, data)
    values (in_stream, event_number, in_type, in_call_id, in_node_id, in_data) returning e.at into event_at;
end $$;

-- Only this makes calls wait, so the head of the domain's events, which it needs anyway, is lock enough for its count.
create function queue_call(
  in_call jsonb, in_most bigint, in_event jsonb,
  out outcome text, out most bigint, out used bigint, out event_number bigint, out event_at timestamptz
) language plpgsql as $$
declare
  asked calls := jsonb_populate_record(null::calls, in_call);
begin
  perform 1 from domains d where d.id = asked.domain_id for key share;
  if not found then
    outcome := 'no_domain';
    return;
  end if;
  perform 1 from event_heads h where h.stream = asked.domain_id::text for update;
  if not found then
    insert into event_heads (stream, last_number) values (asked.domain_id::text, 0) on conflict do nothing;
    perform 1 from event_heads h where h.stream = asked.domain_id::text for update;
  end if;
  most := coalesce(
    (select q.amount from quotas q where q.domain_id = asked.domain_id and q.quota = 'queuedCalls'), in_most);
  used := (select count(*) from calls c where c.domain_id = asked.domain_id and c.state = 'queued');
  if used >= most then
    outcome := 'full';
    return;
  end if;
  insert into calls (id, domain_id, origin, from_address, to_address, caller_name, state, units, ring_timeout_seconds,
                     place_before, queued_at, metadata)
    values (asked.id, asked.domain_id, asked.origin, asked.from_address, asked.to_address, asked.caller_name, 'queued', asked.units,
            asked.ring_timeout_seconds, asked.place_before, asked.queued_at, asked.metadata);
  select a.event_number, a.event_at into event_number, event_at
    from append_event(asked.domain_id::text, 'call.queued', asked.id, null, in_event) a;
  outcome := 'queued';
end $$;

create function place_call(
  in_call_id uuid, in_node_id uuid, in_leg_id uuid, in_attempt integer, in_at timestamptz, in_modules text[],
  in_most_ringing bigint, in_most_units numeric, in_policy text, in_considered jsonb, in_left_out integer, in_event jsonb,
  out outcome text, out on_node uuid, out node_name text, out core_uuid text, out most numeric, out used numeric,
  out event_number bigint, out event_at timestamptz
) language plpgsql as $$
declare
  placed calls;
  chosen nodes;
begin
  select * into placed from calls c where c.id = in_call_id for update;
  if placed.state is distinct from 'queued' then
    outcome := 'taken';
    on_node := case when placed.state <> 'ended' then placed.node_id end;
    return;
  end if;
  if placed.hangup_requested_at is not null then
    outcome := 'unwanted';
    return;
  end if;
  select * into chosen from nodes n where n.id = in_node_id;
  outcome := case when chosen.state is distinct from 'serving' then 'not_serving'
                  when chosen.unhealthy_reason is not null then 'unhealthy'
                  when exists (select 1 from jsonb_array_elements_text(chosen.missing_modules) m where m = any(in_modules))
                    then 'lacks_module' end;
  if outcome is not null then
    return;
  end if;
  perform pg_advisory_xact_lock(hashtextextended(placed.domain_id::text, 13));
  most := coalesce(
    (select q.amount from quotas q where q.domain_id = placed.domain_id and q.quota = 'ringingCalls'), in_most_ringing);
  used := (select count(*) from calls c where c.domain_id = placed.domain_id and c.state in ('placing','ringing'));
  if used >= most then
    outcome := 'ringing_full';
    return;
  end if;
  most := coalesce((select q.amount from quotas q where q.domain_id = placed.domain_id and q.quota = 'units'), in_most_units);
  used := (select coalesce(sum(held.units), 0) from (
      select c.units from calls c where c.domain_id = placed.domain_id and c.state in ('placing','ringing','answered')
      union all
      select s.units from sessions s where s.domain_id = placed.domain_id and s.state <> 'ended') held);
  if used + placed.units > most then
    outcome := 'units_full';
    return;
  end if;
  update calls c set state = 'placing', node_id = chosen.id, placing_at = in_at where c.id = placed.id;
  insert into call_attempts (call_id, number, node_id, node_name, node_core_uuid, leg_id, placed_at)
    values (placed.id, in_attempt, chosen.id, chosen.name, chosen.core_uuid, in_leg_id, in_at);
  insert into legs (id, call_id, node_id, role, address, state, created_at)
    values (in_leg_id, placed.id, chosen.id, 'from', placed.from_address, 'placing', in_at);
  insert into placements as p (call_id, attempt, decided_at, node_id, node_name, policy, considered, left_out)
    values (placed.id, in_attempt, in_at, chosen.id, chosen.name, in_policy, in_considered, in_left_out)
    on conflict (call_id, attempt) do update set decided_at = excluded.decided_at, node_id = excluded.node_id,
      node_name = excluded.node_name, policy = excluded.policy, considered = excluded.considered,
      left_out = excluded.left_out;
  select a.event_number, a.event_at into event_number, event_at
    from append_event(placed.domain_id::text, 'call.placing', placed.id, chosen.id, in_event) a;
  node_name := chosen.name;
  core_uuid := chosen.core_uuid;
  outcome := 'placed';
end $$;
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
drop function place_call;
drop function queue_call;
drop function append_event;
`);
}
