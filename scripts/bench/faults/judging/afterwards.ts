/** Two truths that agree prove little where nobody is served: when all is healed, people must be able to talk again. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { Api } from '../api';
import type { People } from '../load';

const EVERY_MS = 1000;
const ASK_MS = 20_000;
/** How many must be answered. */
const FEW = 3;

export async function countAnswered(db: Pool): Promise<number> {
  const { rows } = await db.query<{ count: string }>('select count(*) from calls where answered_at is not null');
  return Number(rows[0]?.count);
}

/** Phones call the echo in turn, until a few were answered: some are busy, or refuse. */
export async function talkAgain(api: Api, people: People, db: Pool, limitMs: number): Promise<number> {
  const deadline = Date.now() + limitMs;
  const before = await countAnswered(db);
  for (let i = 0; ; i += 1) {
    const { domain, username } = people.phones[i % people.phones.length]!;
    await api.ask('POST', '/v1/calls', { domain, from: `user:${username}`, to: '9196' }, ASK_MS);
    await sleep(EVERY_MS);
    const answered = (await countAnswered(db)) - before;
    if (answered >= FEW || Date.now() > deadline) return answered;
  }
}
