/** What people do while things break: they call each other, meet in rooms, dial, hang up, steer, and record. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Api } from './api';
import type { PhonePlan } from './host';
import type { Random } from './random';
import type { Cluster } from './cluster';

export interface People {
  domains: readonly string[];
  phones: readonly PhonePlan[];
  rooms: readonly { id: string; domain: string; name: string }[];
}

const WEIGHTS = {
  call: 34,
  callRoom: 14,
  dial: 10,
  dialRoom: 10,
  hangup: 10,
  mute: 6,
  layout: 4,
  record: 4,
  stopRecording: 3,
  muteAll: 2,
  recordCall: 3,
} as const;

const MOST_TRIES = 10;
const REGISTER_MS = 60_000;
const REGISTER_LOOK_MS = 200;

/** Makes users, rooms and phones: a domain for each host, since nodes of two hosts don't reach each other. */
export async function bringPeople(cluster: Cluster, api: Api, phonesPerNode: number, steady = false): Promise<People> {
  const domains: string[] = [];
  const phones: PhonePlan[] = [];
  const rooms: People['rooms'][number][] = [];
  /** A replica that has just started on a busy machine may not reach its stores for a moment. */
  const must = async (path: string, body: unknown): Promise<{ id: string }> => {
    const key = randomUUID();
    for (let tries = 1; ; tries += 1) {
      const answer = await api.ask('POST', path, body, 20_000, key);
      if (answer.status === 201) return answer.body as { id: string };
      if (tries === MOST_TRIES) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
      await sleep(1000);
    }
  };
  for (let host = 0; host < cluster.hosts.length; host += 1) {
    const domain = `yard${host + 1}.test`;
    domains.push(domain);
    await must('/v1/domains', { name: domain });
    for (const name of ['daily', 'ward', 'board']) {
      const settings = name === 'board' ? { record: true } : { audioOnly: true };
      const { id } = await must('/v1/rooms', { domain, name, ...settings });
      rooms.push({ id, domain, name });
    }
    const own: PhonePlan[] = [];
    for (const node of cluster.nodes.filter((n) => n.host === host)) {
      for (let i = 1; i <= phonesPerNode; i += 1) {
        const username = `p${node.name.replaceAll('-', '')}x${i}`;
        const password = `password-of-${username}`;
        await must('/v1/users', { domain, username, password });
        own.push({ node: node.name, username, domain, password, steady });
      }
    }
    await cluster.hosts[host]!.ask('addPhones', own, 60_000);
    for (let waited = 0; ; waited += REGISTER_LOOK_MS) {
      const registered = await cluster.hosts[host]!.ask<string[]>('registered', {}, 30_000);
      if (registered.length >= own.length) break;
      if (waited > REGISTER_MS) throw new Error(`only ${registered.length} of ${own.length} phones are registered`);
      await sleep(REGISTER_LOOK_MS);
    }
    phones.push(...own);
  }
  return { domains, phones, rooms };
}

export interface Load {
  readonly counts: Readonly<Record<string, number>>;
  stop(): Promise<void>;
}

/** Does something every `everyMs`, on the average; what comes of it is looked at in the end. */
export function startLoad(o: { cluster: Cluster; api: Api; people: People; random: Random; everyMs: number }): Load {
  const { cluster, api, people, random } = o;
  const counts: Record<string, number> = {};
  const recent: string[] = [];
  const running = new Set<Promise<void>>();
  const stopping = new AbortController();
  const hostOf = (phone: PhonePlan): number => cluster.nodes.find((n) => n.name === phone.node)!.host;
  const fellow = (phone: PhonePlan): PhonePlan =>
    random.pick(people.phones.filter((p) => p.domain === phone.domain && p !== phone));
  const roomOf = (phone: PhonePlan) => random.pick(people.rooms.filter((r) => r.domain === phone.domain));
  const patience = (): number => (random.chance(15) ? random.int(20_000, 50_000) : random.int(500, 9000));

  async function call(from: PhonePlan, to: string): Promise<void> {
    const body = { domain: from.domain, from: `user:${from.username}`, to, ringTimeoutSeconds: random.int(5, 9) };
    const answer = await api.ask('POST', '/v1/calls', body);
    if (answer.status !== 201) return;
    recent.push((answer.body as { id: string }).id);
    if (recent.length > 40) recent.shift();
  }
  const dial = (from: PhonePlan, number: string): Promise<unknown> =>
    cluster.hosts[hostOf(from)]!.ask('dial', { username: from.username, number, hangupAfterMs: patience() }, 10_000);

  async function mute(roomId: string): Promise<void> {
    const { status, body } = await api.ask('GET', `/v1/rooms/${roomId}/participants`);
    const items = status === 200 ? (body as { items: { id: string; state: string }[] }).items : [];
    const inside = items.filter((p) => p.state === 'in');
    if (inside.length === 0) return;
    const change = random.pick([{ muted: true }, { muted: false }, { deaf: true }, { deaf: false }]);
    await api.ask('PATCH', `/v1/rooms/${roomId}/participants/${random.pick(inside).id}`, change);
  }
  async function stopRecording(roomId: string): Promise<void> {
    const { status, body } = await api.ask('GET', `/v1/recordings?roomId=${roomId}&limit=5`);
    const items = status === 200 ? (body as { items: { id: string; state: string }[] }).items : [];
    const running = items.find((r) => r.state === 'recording' || r.state === 'starting');
    if (running) await api.ask('POST', `/v1/recordings/${running.id}/stop`, {});
  }

  async function act(): Promise<void> {
    const what = random.weighed(WEIGHTS);
    counts[what] = (counts[what] ?? 0) + 1;
    const phone = random.pick(people.phones);
    const room = roomOf(phone);
    switch (what) {
      case 'call':
        return call(phone, random.chance(10) ? '9196' : `user:${fellow(phone).username}`);
      case 'callRoom':
        return call(phone, `room:${room.name}`);
      case 'dial':
        return void (await dial(phone, random.chance(20) ? '9196' : fellow(phone).username));
      case 'dialRoom':
        return void (await dial(phone, room.name));
      case 'hangup':
        if (recent.length > 0) await api.ask('POST', `/v1/calls/${random.pick(recent)}/hangup`, {});
        return;
      case 'mute':
        return mute(room.id);
      case 'layout':
        return void (await api.ask('PUT', `/v1/rooms/${room.id}/layout`, {
          layout: random.pick(['2x2', 'group:grid']),
        }));
      case 'muteAll':
        return void (await api.ask('POST', `/v1/rooms/${room.id}/mute-all`, {}));
      case 'record':
        return void (await api.ask('POST', `/v1/rooms/${room.id}/recordings`, { format: 'wav' }));
      case 'stopRecording':
        return stopRecording(room.id);
      case 'recordCall':
        if (recent.length > 0) await api.ask('POST', `/v1/calls/${random.pick(recent)}/record`, { action: 'start' });
        return;
    }
  }

  const going = (async () => {
    while (!stopping.signal.aborted) {
      const one: Promise<void> = act()
        .catch(() => undefined)
        .finally(() => running.delete(one));
      running.add(one);
      await sleep(random.int(0, 2 * o.everyMs), undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  return {
    counts,
    async stop() {
      stopping.abort();
      await going;
      await Promise.all(running);
    },
  };
}
