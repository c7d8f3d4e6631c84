/** Restarts replicas one after the other under standing and new calls, and counts what was lost on the way. */
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor, type ApiClient } from '../../api/client';
import { startPhone, type Phone } from '../../sip-phone/phone';
import type { RollingPool } from './pool';

const DOMAIN = 'rolling.test';
const PASSWORD = 'a long password of rolling phones';
/** To be answered, and to be over once it was hung up. */
const STEP_MS = 30_000;
const LOOK_MS = 300;
const TALK_MS = 1000;

interface Call {
  id: string;
  state: string;
  outcome: string | null;
  node: string | null;
}

export interface RollingReport {
  restarts: { replica: string; endedMs: number; readyMs: number }[];
  standing: { began: number; live: number };
  calls: { asked: number; completed: number; refused: string[]; lost: string[]; setupMs: number[] };
  nodes: { looks: number; unanswered: number; notServing: string[] };
}

async function createPhones(api: ApiClient, pool: RollingPool, count: number): Promise<Phone[]> {
  await api.post('/v1/domains', { name: DOMAIN });
  await api.put(`/v1/quotas/${DOMAIN}`, { callsPerSecond: 1000, ringingCalls: 1000 });
  const nodes = await pool.listNodes();
  const phones: Phone[] = [];
  for (let i = 0; i < count; i += 1) {
    const username = `phone${i}`;
    await api.post('/v1/users', { domain: DOMAIN, username, password: PASSWORD });
    const { host: nodeHost, sipPort: nodePort } = nodes[i % nodes.length]!;
    phones.push(
      await startPhone({ username, domain: DOMAIN, password: PASSWORD, nodeHost, nodePort, sound: 'silence' }),
    );
  }
  return phones;
}

const call = (api: ApiClient, phone: number): Promise<Call> =>
  api.post<Call>('/v1/calls', { domain: DOMAIN, from: `user:phone${phone}`, to: '9196' });

/** As a program of a customer does: what it can't read now it asks for again, and a call it has asked for once. */
function becomes(api: ApiClient, id: string, state: string): Promise<Call> {
  const check = async (): Promise<Call> => {
    const now = await api.get<Call>(`/v1/calls/${id}`);
    if (now.state === 'ended' && state !== 'ended') throw new Ended(`it ended: ${now.outcome}`);
    await sleep(now.state === state ? 0 : LOOK_MS);
    return now;
  };
  let ended: Ended | undefined;
  const asked = (): Promise<Call | undefined> =>
    check().catch((fault: unknown) => {
      if (!(fault instanceof Ended)) throw fault;
      ended = fault;
      return undefined;
    });
  return waitFor(`the call to be ${state}`, asked, (now) => ended !== undefined || now?.state === state, STEP_MS).then(
    (now) => {
      if (ended) throw ended;
      return now!;
    },
  );
}

class Ended extends Error {}

async function callOnce(api: ApiClient, phone: number, calls: RollingReport['calls']): Promise<void> {
  calls.asked += 1;
  const beganMs = Date.now();
  let id: string;
  try {
    id = (await call(api, phone)).id;
  } catch (fault) {
    calls.refused.push((fault as Error).message);
    return;
  }
  try {
    await becomes(api, id, 'answered');
    calls.setupMs.push(Date.now() - beganMs);
    await sleep(TALK_MS);
    await api.post(`/v1/calls/${id}/hangup`);
    const { outcome } = await becomes(api, id, 'ended');
    if (outcome === 'answered') calls.completed += 1;
    else calls.lost.push(`${id}: ${outcome}`);
  } catch (fault) {
    calls.lost.push(`${id}: ${(fault as Error).message}`);
  }
}

/** @param report told what happens, a line at a time */
export async function runRolling(
  pool: RollingPool,
  o: { restarts: number; standing: number; callsPerSecond: number; pauseMs: number; report: (line: string) => void },
): Promise<RollingReport> {
  const { api } = pool;
  const phoneCount = o.standing + 20;
  const phones = await createPhones(api, pool, phoneCount);
  const result: RollingReport = {
    restarts: [],
    standing: { began: 0, live: 0 },
    calls: { asked: 0, completed: 0, refused: [], lost: [], setupMs: [] },
    nodes: { looks: 0, unanswered: 0, notServing: [] },
  };
  let isOver = false;
  const running = new Set<Promise<void>>();
  try {
    const standing: string[] = [];
    for (let i = 0; i < o.standing; i += 1) {
      const { id } = await call(api, i);
      await becomes(api, id, 'answered');
      standing.push(id);
    }
    result.standing.began = standing.length;
    o.report(`${standing.length} calls stand`);

    const watching = (async () => {
      while (!isOver) {
        const nodes = await pool.listNodes().catch(() => undefined);
        result.nodes.looks += 1;
        if (!nodes) result.nodes.unanswered += 1;
        for (const { name, state, connectionFault } of nodes ?? [])
          if (state !== 'serving' || connectionFault?.kind === 'acl_denied')
            result.nodes.notServing.push(`${name} ${state} ${connectionFault?.kind ?? ''}`.trim());
        await sleep(500);
      }
    })();
    const calling = (async () => {
      for (let i = 0; !isOver; i += 1) {
        const one: Promise<void> = callOnce(api, o.standing + (i % 20), result.calls).finally(() =>
          running.delete(one),
        );
        running.add(one);
        await sleep(1000 / o.callsPerSecond);
      }
    })();
    await sleep(o.pauseMs);
    for (let i = 0; i < o.restarts; i += 1) {
      for (const replica of pool.replicas) {
        const took = await replica.restart();
        result.restarts.push({ replica: replica.name, ...took });
        await sleep(o.pauseMs);
      }
      const { calls } = result;
      o.report(`restart ${i + 1}: ${calls.asked} calls, ${calls.refused.length} refused, ${calls.lost.length} lost`);
    }
    isOver = true;
    await Promise.all([watching, calling, ...running]);
    for (const id of standing)
      if ((await api.get<Call>(`/v1/calls/${id}`)).state === 'answered') result.standing.live += 1;
    return result;
  } finally {
    isOver = true;
    await Promise.all(running);
    await Promise.all(phones.map((phone) => phone.stop()));
  }
}
