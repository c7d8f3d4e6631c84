/** Fills a database with a standing load: nodes, domains, and answered calls with attempts, legs and claims. */
import { createHash } from 'node:crypto';
import { createClaims } from '../../../src/domains/nodes/capacity/claims';
import type { Db } from '../../../src/infra/stores/db';
import { createId } from '../../../src/infra/ids';
import { encryptSecret } from '../../../src/infra/secrets';
import type { Redis } from '../../../src/infra/stores/redis';

/** Units of a node: what stands on it, and room for a third more. */
const CAPACITY_UNITS = 130;
export const CALLS_PER_NODE = 100;
export const DOMAINS = 20;
export const PREFIX = 'scale';

export interface Seeded {
  nodeIds: string[];
  /** The first is also called over REST. */
  domainIds: string[];
}

const nodeName = (i: number): string => `sim-${String(i).padStart(4, '0')}`;
export const passwordOf = (name: string): string => `event-socket-of-${name}`;
export const domainName = (i: number): string => `clinic-${i}.test`;

export async function seedNodes(db: Db, o: { nodes: number; port: number; secretKey: Buffer }): Promise<Seeded> {
  const ids = Array.from({ length: o.nodes }, () => createId());
  const nodes = ids.map((id, i) => ({
    id,
    name: nodeName(i),
    secret_hash: '',
    esl_password_sealed: encryptSecret(o.secretKey, { purpose: 'node-password', of: id }, passwordOf(nodeName(i))),
    host: '127.0.0.1',
    esl_port: o.port,
    sip_port: 5060,
    internode_port: 5080,
    ws_port: 5066,
    zone: `zone-${i % 3}`,
    capacity_units: CAPACITY_UNITS,
    state: 'joining',
    session_count: 2 * CALLS_PER_NODE,
    max_sessions: 1000,
    idle_cpu_percent: 45,
  }));
  await db.batchInsert('nodes', nodes, 200);
  const domains = Array.from({ length: DOMAINS }, (_, i) => ({ id: createId(), name: domainName(i) }));
  await db('domains').insert(domains);
  const users = domains.flatMap((d) =>
    ['1001', '1002'].map((username) => ({
      id: createId(),
      domain_id: d.id,
      username,
      ha1: createHash('md5').update(`${username}:${d.name}:x`).digest('hex'),
    })),
  );
  await db('users').insert(users);
  return { nodeIds: nodes.map((n) => n.id), domainIds: domains.map((d) => d.id) };
}

/**
 * Calls spread evenly over nodes and domains, by SQL alone. `answered` ones have both legs; `placing` ones only the
 * first, as if the node had just been told to dial. The origin is `phone`, so that no job of the queue dials them.
 */
export async function seedCalls(
  db: Db,
  seeded: Seeded,
  o: { count: number; state: 'answered' | 'placing'; domains: number },
): Promise<void> {
  const domainIds = seeded.domainIds.slice(0, o.domains);
  await db.transaction(async (trx) => {
    await trx.raw(
      `create temporary table fresh on commit drop as
       select gen_random_uuid() as id, gen_random_uuid() as from_leg, gen_random_uuid() as to_leg,
              (?::uuid[])[1 + i % ?] as node_id, (?::uuid[])[1 + i % ?] as domain_id
       from generate_series(0, ? - 1) as i`,
      [seeded.nodeIds, seeded.nodeIds.length, domainIds, domainIds.length, o.count],
    );
    const answeredAt = o.state === 'answered' ? 'now()' : 'null';
    await trx.raw(
      `insert into calls (id, domain_id, origin, from_address, to_address, state, node_id, units, place_before,
                          placing_at, ringing_at, answered_at)
       select id, domain_id, 'phone', 'user:1001', 'user:1002', ?, node_id, 1, now() + interval '1 hour', now(),
              ${answeredAt}, ${answeredAt} from fresh`,
      [o.state],
    );
    await trx.raw(
      `insert into call_attempts (call_id, number, node_id, node_name, leg_id, placed_at, rang_at)
       select f.id, 1, f.node_id, n.name, f.from_leg, now(), ${answeredAt} from fresh f join nodes n on n.id = f.node_id`,
    );
    const legs = (column: string, role: string) =>
      trx.raw(
        `insert into legs (id, call_id, node_id, role, address, state, answered_at)
         select ${column}, id, node_id, '${role}', 'user:1001', ?, ${answeredAt} from fresh`,
        [o.state],
      );
    await legs('from_leg', 'from');
    if (o.state === 'answered') await legs('to_leg', 'to');
  });
}

/** Through the real script, a few hundred under way at once. @returns bytes of Redis for each claim */
export async function seedClaims(db: Db, redis: Redis): Promise<number> {
  const rows = (await db('calls').where('state', 'answered').select('id', 'node_id')) as {
    id: string;
    node_id: string;
  }[];
  const claims = createClaims(redis, PREFIX);
  const before = await readRedis(redis, 'memory', 'used_memory');
  for (let at = 0; at < rows.length; at += 500) {
    const some = rows.slice(at, at + 500);
    const granted = await Promise.all(
      some.map((row) => claims.claim(row.node_id, row.id, 1, CAPACITY_UNITS, Date.now())),
    );
    if (granted.includes(false)) throw new Error('a claim of the standing load was refused');
  }
  return ((await readRedis(redis, 'memory', 'used_memory')) - before) / rows.length;
}

/** One figure of INFO. */
export async function readRedis(redis: Redis, section: string, field: string): Promise<number> {
  const line = (await redis.info(section)).split('\r\n').find((l) => l.startsWith(`${field}:`));
  return Number(line?.slice(field.length + 1) ?? NaN);
}
