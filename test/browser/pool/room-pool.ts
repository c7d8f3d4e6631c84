/** One room at a real pool and the people in it, as tests of rooms and of their moves need them. */
import { waitFor } from '../../../scripts/api/client';
import type { BrowserApp } from '../pages/browser';
import type { Db } from '../../../src/infra/stores/db';
import type { TestStores } from '../../stores';
import type { RealPool } from './real-pool';

export interface RoomGrant {
  id: string;
  node: string;
  wssUrl: string;
  target: string;
  token: string;
  identity: string;
}

export interface Person {
  id: string;
  identity: string;
  kind: 'grant' | 'user' | 'number';
  name: string;
  role: string;
  state: 'joining' | 'in' | 'away' | 'left';
  since: string | null;
  grantId: string | null;
  desired: { muted: boolean };
  observed: { muted: boolean | null; hasVideo: boolean | null };
  floor: boolean;
  videoFloor: boolean;
  leaveReason: string | null;
}

export interface RoomState {
  session: {
    id: string;
    meetingId: string;
    node: string;
    state: string;
    layout: { desired: string | null; observed: string | null };
    floor: { heldFor: string | null; participantId: string | null };
    videoFloor: { heldFor: string | null; participantId: string | null };
  } | null;
  items: Person[];
}

export interface LoggedEvent {
  number: number;
  type: string;
  at: string;
  data: Record<string, unknown>;
}

/** What has come in over the call a guest is in now, and how much video went out. */
export interface GuestReceived {
  audioPackets: number;
  /** Grows while something is heard. */
  audioEnergy: number;
  framesDecoded: number;
  videoBytes: number;
  videoBytesSent: number;
  frameWidth: number;
}

export interface Guest {
  grant: RoomGrant;
  name: string;
  enter(grant?: RoomGrant): Promise<void>;
  leave(): Promise<void>;
  press(digits: string): Promise<void>;
  mute(): Promise<void>;
  /** Takes the track away from every sender. */
  sendNothing(): Promise<void>;
  state(): Promise<{ state: string; cause: string | null; node: string | null }>;
  received(): Promise<GuestReceived>;
  /** The mean colour of the video that is shown; null: none. */
  colour(): Promise<{ red: number; green: number; blue: number } | null>;
  diary(): Promise<{ what: string; atMs: number }[]>;
  close(): Promise<void>;
}

export interface GuestOptions {
  /** A colour instead of the camera's video. */
  paint?: string;
  video?: boolean;
  grant?: Record<string, unknown>;
}

export interface RoomApp {
  roomId: string;
  openGuest(name: string, o?: GuestOptions): Promise<Guest>;
  /** The same room, with its guests in another browser. */
  over(browsers: BrowserApp): RoomApp;
  put<T>(path: string, body: object): Promise<T>;
  look(): Promise<RoomState>;
  /** Waits until it is so. @returns the video and how long that took, in milliseconds */
  see(what: string, test: (roomState: RoomState) => boolean): Promise<{ roomState: RoomState; tookMs: number }>;
  events(types: string): Promise<LoggedEvent[]>;
  snapshot(): Promise<Buffer>;
  /** What a limit is lengthened by, in milliseconds: a machine that is busy with other things answers late. */
  measureLateness(): Promise<number>;
}

/** Generous, since a machine may be slow; what was measured is printed by the tests. */
export const STEP_MS = 20_000;
const LOOK_MS = 40;
/** How many answers' time a change may take longer. */
const LATE_ANSWERS = 10;
const REQUEST_MS = 10_000;

export const say = (line: string): void => void process.stdout.write(`  ${line}\n`);

/** Asks often, so that what is measured is not the pause between two looks. @throws with what was seen last */
export async function watchUntil<T>(what: string, ask: () => Promise<T>, test: (value: T) => boolean): Promise<T> {
  const until = Date.now() + STEP_MS;
  for (;;) {
    const value = await ask();
    if (test(value)) return value;
    if (Date.now() > until)
      throw new Error(`Waited ${STEP_MS} ms for ${what}: ${JSON.stringify(value).slice(0, 3000)}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** Makes the room. @param settings as POST /v1/rooms takes them */
export async function startRoomApp(
  pool: RealPool,
  browsers: BrowserApp,
  domain: string,
  settings: Record<string, unknown>,
): Promise<RoomApp> {
  const { id: roomId } = await pool.api.post<{ id: string }>('/v1/rooms', { domain, ...settings });
  return appOf(pool, browsers, domain, roomId);
}

function appOf(pool: RealPool, browsers: BrowserApp, domain: string, roomId: string): RoomApp {
  const { api } = pool;
  const room = `/v1/rooms/${roomId}`;
  const headers = { authorization: `Bearer ${pool.apiKey}`, 'content-type': 'application/json' };
  const look = (): Promise<RoomState> => api.get<RoomState>(`${room}/participants`);
  return {
    roomId,
    look,
    over: (others) => appOf(pool, others, domain, roomId),
    async openGuest(name, o = {}) {
      const page = await browsers.openPage('guest');
      const grant = await api.post<RoomGrant>(`${room}/grants`, { name, ...o.grant });
      const given = { apiUrl: pool.publicUrl, video: o.video ?? true, paint: o.paint };
      return {
        grant,
        name,
        enter: (other) => page.ask('enter', { ...given, grant: other ?? grant }),
        leave: () => page.ask('leave'),
        press: (digits) => page.ask('press', digits),
        mute: () => page.ask('mute'),
        sendNothing: () => page.ask('sendNothing'),
        state: () => page.ask('state'),
        received: () => page.ask('received'),
        colour: () => page.ask('colour'),
        diary: () => page.ask('diary'),
        async close() {
          await page.ask('stop').catch(() => undefined); // its node may be gone
          await page.close();
        },
      };
    },
    async put<T>(path: string, body: object) {
      const answer = await fetch(`${pool.url}${room}${path}`, {
        method: 'PUT',
        headers,
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(REQUEST_MS),
      });
      if (!answer.ok) throw new Error(`PUT ${path}: ${answer.status} ${await answer.text()}`);
      return (await answer.json()) as T;
    },
    async see(what, test) {
      const from = Date.now();
      const roomState = await watchUntil(what, look, test);
      return { roomState, tookMs: Date.now() - from };
    },
    async events(types) {
      const query = `domain=${domain}&roomId=${roomId}&types=${types}&format=json&limit=1000`;
      return (await api.get<{ items: LoggedEvent[] }>(`/v1/events?${query}`)).items;
    },
    async measureLateness() {
      const fromMs = Date.now();
      await look();
      return LATE_ANSWERS * (Date.now() - fromMs);
    },
    async snapshot() {
      const answer = await fetch(`${pool.url}${room}/snapshot.png`, {
        headers,
        signal: AbortSignal.timeout(REQUEST_MS),
      });
      if (!answer.ok) throw new Error(`snapshot: ${answer.status} ${await answer.text()}`);
      return Buffer.from(await answer.arrayBuffer());
    },
  };
}

export const isIn = (roomState: RoomState, count: number): boolean =>
  roomState.session?.state === 'live' && roomState.items.filter(({ state }) => state === 'in').length === count;

/** Nothing is left of any room or call: no row that lives, no claim, no channel. */
export async function waitUntilEmpty(pool: RealPool, stores: TestStores): Promise<void> {
  const living: Record<string, (rows: ReturnType<Db>) => unknown> = {
    sessions: (rows) => rows.whereNot('state', 'ended'),
    participants: (rows) => rows.whereNot('state', 'left'),
    calls: (rows) => rows.whereNot('state', 'ended'),
    legs: (rows) => rows.whereNot('state', 'ended'),
    leases: (rows) => rows.whereNotNull('node_id'),
  };
  const count = async ([table, where]: [string, (rows: ReturnType<Db>) => unknown]): Promise<number> => {
    const rows = stores.db(table);
    void where(rows);
    return Number((await rows.count('* as n').first())?.n);
  };
  interface Total {
    total: { claimedUnits: number | null; liveCalls: number; rooms: number; sessions: number };
  }
  await watchUntil(
    'an empty pool',
    () => pool.api.get<Total>('/v1/pool'),
    ({ total }) => total.claimedUnits === 0 && total.liveCalls === 0 && total.rooms === 0 && total.sessions === 0,
  );
  await waitFor(
    'no living rows',
    () => Promise.all(Object.entries(living).map(count)),
    (counts) => counts.every((n) => n === 0),
    STEP_MS,
  );
}
