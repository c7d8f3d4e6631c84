/** The demo's second chapter: two users meet in a room, one is muted, the video is divided again, and who was where. */
import { waitFor, type ApiClient } from '../api/client';

export interface RoomChapter {
  api: ApiClient;
  domain: string;
  /** Users whose phones are registered: each is rung, and is in the room when they answer. */
  guests: readonly { username: string; displayName: string }[];
  tell: (line: string) => void;
}

interface Person {
  id: string;
  identity: string;
  name: string;
  state: string;
  since: string | null;
  observed: { muted: boolean | null };
}

interface LiveRoom {
  session: { node: string | null; state: string; layout: { observed: string | null } } | null;
  items: Person[];
}

interface Session {
  node: string | null;
  state: string;
  startedAt: string | null;
  endedAt: string | null;
  endReason: string | null;
}

const ROOM = 'daily';
const STEP_TIMEOUT_MS = 15_000;
const LAYOUT = '2x1';

/** @throws Error with the step that failed. */
export async function playRoomChapter({ api, domain, guests, tell }: RoomChapter): Promise<void> {
  const roomId = await provideRoom(api, domain, tell);
  const room = `/v1/rooms/${roomId}`;
  const look = (): Promise<LiveRoom> => api.get<LiveRoom>(`${room}/participants`);
  const see = (what: string, test: (seen: LiveRoom) => boolean): Promise<LiveRoom> =>
    waitFor(what, look, test, STEP_TIMEOUT_MS);

  const grant = await api.post<{ node: string; wssUrl: string; target: string }>(`${room}/grants`, { name: 'Carol' });
  tell(`POST …/grants       a browser may come in: ${grant.wssUrl} at ${grant.node}, dials "${grant.target}"`);
  for (const { username } of guests) {
    tell(`POST /v1/calls      {from: "user:${username}", to: "room:${ROOM}"}`);
    await api.post('/v1/calls', { domain, from: `user:${username}`, to: `room:${ROOM}` });
  }
  const met = await see('everybody to be in the room', ({ items }) => countIn(items) === guests.length);
  tellWho(met, tell);

  const last = met.items.find(({ identity }) => identity === `user:${guests.at(-1)!.username}`)!;
  tell(`PATCH …/participants/{${last.name}}   {muted: true}`);
  await api.patch(`${room}/participants/${last.id}`, { muted: true });
  await see('the node to say that it is so', ({ items }) =>
    items.some((p) => p.id === last.id && p.observed.muted === true),
  );
  tell(`PUT …/layout        {layout: "${LAYOUT}"}`);
  await api.put(`${room}/layout`, { layout: LAYOUT });
  const shaped = await see('the layout to be seen', ({ session }) => session?.layout.observed === LAYOUT);
  tellWho(shaped, tell);

  tell('DELETE …/participants/{each}');
  for (const { id } of shaped.items.filter(({ state }) => state === 'in')) {
    await api.delete(`${room}/participants/${id}`);
  }
  const { items } = await waitFor(
    'the session to end',
    () => api.get<{ items: Session[] }>(`${room}/sessions?limit=1`),
    (page) => page.items[0]?.state === 'ended',
    STEP_TIMEOUT_MS,
  );
  const { node, startedAt, endedAt, endReason } = items[0]!;
  const seconds = (Date.parse(endedAt ?? '') - Date.parse(startedAt ?? '')) / 1000;
  tell(`The room: one session of ${seconds.toFixed(1)} s on ${node} (${endReason})`);
}

const countIn = (items: readonly Person[]): number => items.filter(({ state }) => state === 'in').length;

function tellWho({ session, items }: LiveRoom, tell: (line: string) => void): void {
  tell(`GET …/participants  on ${session?.node}, layout ${session?.layout.observed ?? 'as the room says'}:`);
  for (const { name, identity, state, since, observed } of items) {
    if (state !== 'in') continue;
    tell(`      ${name} (${identity}) in since ${since?.slice(11, 19)}, ${observed.muted ? 'muted' : 'can be heard'}`);
  }
}

async function provideRoom(api: ApiClient, domain: string, tell: (line: string) => void): Promise<string> {
  const found = await api.get<{ items: { id: string }[] }>(`/v1/rooms?domain=${domain}&name=${ROOM}`);
  if (found.items[0]) {
    tell(`GET /v1/rooms       "${ROOM}" is there from an earlier run`);
    return found.items[0].id;
  }
  tell(`POST /v1/rooms      {name: "${ROOM}", maxParticipants: 10}`);
  return (await api.post<{ id: string }>('/v1/rooms', { domain, name: ROOM, maxParticipants: 10 })).id;
}
