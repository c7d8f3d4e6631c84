/** Keeps the pictures of running rooms where they are seen: brought to the node, shown anew, and taken away at the end. */
import { randomUUID } from 'node:crypto';
import { SwitchyardError } from '../../../errors';
import {
  askCurl,
  fetchFile,
  hashFile,
  hideBackground,
  parseHash,
  parseTempFolder,
  readGlobal,
  removeFile,
  replaceFile,
  setLayout,
  showBackground,
  type ApiCommand,
  type Reply,
} from '../../../freeswitch/esl';
import { pictureFile, WELCOME_LAYOUT } from '../../../freeswitch/xml';
import { signToken } from '../../../infra/secrets';
import { listParticipants, type ParticipantRow } from '../participants/participants.store';
import type { PictureDeps } from './images';
import * as store from './images.store';
import { PICTURE_KINDS, type PictureFacts, type PictureKind, type PlacedPicture } from './images.store';
import { draftSessionEvent } from '../room-events';
import { findSession, type SessionRow } from '../sessions/sessions.store';
import { isMixed, readSettings, type RoomSettings } from '../settings';
import { backoffMs } from '../../../infra/flow/backoff';

const TRIES = 5;
const FIRST_PAUSE_MS = 2000;
const LONGEST_PAUSE_MS = 60_000;
const FETCH_SECONDS = 10;
const TOKEN_SECONDS = 60;
/** A group of layouts grows some time after somebody entered, when their picture is there. */
const CONFIRM_MS = 3000;
const LEFT_AT_ONCE = 50;

/** The welcome is seen by who is alone, and by all while no moderator is there to begin. */
export function isWelcome(settings: RoomSettings, people: readonly Pick<ParticipantRow, 'state' | 'role'>[]): boolean {
  const inside = people.filter(({ state }) => state === 'in');
  if (inside.length <= 1) return true;
  return settings.waitForModerator && !inside.some(({ role }) => role === 'moderator');
}

/** Waits longer after each try in vain. */
export const pauseBeforePicture = (tries: number): number =>
  backoffMs(tries, { firstMs: FIRST_PAUSE_MS, longestMs: LONGEST_PAUSE_MS });

/** @returns the kinds the session could not take over */
async function bringPictures(deps: PictureDeps, session: SessionRow): Promise<PictureKind[]> {
  const settings = readSettings(session.settings);
  const wanted = await store.listPictures(deps.db, session.room_id);
  if (!isMixed(settings)) return wanted.map(({ kind }) => kind);
  const nodeId = session.node_id;
  const placed = await store.listPlaced(deps.db, session.id);
  if (wanted.length === 0 && placed.length === 0) return [];
  if (!nodeId || !deps.links.isUp(nodeId)) return wanted.map(({ kind }) => kind);
  const people = await listParticipants(deps.db, session.id);
  const welcome = isWelcome(settings, people);
  const count = people.filter(({ state }) => state === 'in').length;
  const waiting: PictureKind[] = [];
  let wiped = false; // the mixer has taken a layout anew, and lost a background that is not the layout's
  for (const kind of ['welcome', 'background'] as const) {
    const picture = wanted.find((one) => one.kind === kind);
    const before = placed.find((one) => one.kind === kind);
    if (!picture && !before) continue;
    const row = before ?? newPlaced(session.id, nodeId, kind, await choosePath(deps, nodeId, session.id, kind));
    if (!(await placePicture(deps, session, row, picture))) {
      if (picture) waiting.push(kind);
      continue;
    }
    const visible = picture !== undefined && (kind === 'background' || welcome);
    const layoutsHave = picture !== undefined && kind === 'background' && isInLayouts(picture, session);
    const state = layoutsHave ? '' : `:${session.observed.layout ?? ''}:${count}`;
    const shown = visible ? `${picture.id}${state}` : 'hidden';
    const did = await showPlaced(deps, session, row, {
      visible,
      shown,
      anew: wiped && !layoutsHave,
      again: !layoutsHave,
    });
    if (did === 'hidden') wiped = true;
    if (did === 'refused') waiting.push(kind);
    if (!picture) await forgetPlaced(deps, row);
  }
  return waiting;
}

/** Clocks of nodes and ours differ by less. */
const SKEW_MS = 60_000;

/** Whether the layouts the session was started with surely bring the background along. */
const isInLayouts = (picture: PictureFacts, session: SessionRow): boolean =>
  session.started_at !== null && picture.created_at.getTime() < session.started_at.getTime() - SKEW_MS;

function newPlaced(sessionId: string, nodeId: string, kind: PictureKind, path: string): PlacedPicture {
  const nothing = { picture_id: null, tried_id: null, tries: 0, next_try_at: null, fault: null };
  return { session_id: sessionId, node_id: nodeId, kind, path, ...nothing, shown: null, confirm_at: null };
}

async function choosePath(deps: PictureDeps, nodeId: string, sessionId: string, kind: PictureKind): Promise<string> {
  const folder = parseTempFolder((await deps.links.api(nodeId, readGlobal('temp_dir'))).text);
  return `${folder}/${pictureFile(sessionId, kind)}`;
}

/** @returns whether what should lie on the node lies there; changes `row` */
async function placePicture(
  deps: PictureDeps,
  session: SessionRow,
  row: PlacedPicture,
  picture: PictureFacts | undefined,
): Promise<boolean> {
  if (!picture || row.picture_id === picture.id) return true;
  const now = deps.now();
  const isNew = row.tried_id !== picture.id;
  if (!isNew && (row.tries >= TRIES || (row.next_try_at?.getTime() ?? 0) > now)) return false;
  const tries = (isNew ? 0 : row.tries) + 1;
  Object.assign(row, { tried_id: picture.id, tries });
  const fault = await fetchPicture(deps, row, picture).catch((error: unknown) =>
    error instanceof SwitchyardError ? error.message : 'the node was lost meanwhile',
  );
  if (fault === undefined) {
    Object.assign(row, { picture_id: picture.id, fault: null, next_try_at: null, tries: 0, shown: null });
    await store.savePlaced(deps.db, row);
    return true;
  }
  Object.assign(row, { fault, next_try_at: new Date(now + pauseBeforePicture(tries)) });
  await store.savePlaced(deps.db, row);
  deps.logger.warn({ sessionId: session.id, picture: row.kind, tries, fault }, 'a picture did not come to its node');
  if (tries >= TRIES) {
    const data = { what: `${row.kind}.picture`, wanted: picture.id, seen: fault, tries };
    await deps.events.record((_trx, emit) => {
      emit(draftSessionEvent('wish.given_up', session, data));
      return Promise.resolve();
    });
  }
  return false;
}

/** @returns why it is not there; undefined where it is */
async function fetchPicture(deps: PictureDeps, row: PlacedPicture, picture: PictureFacts): Promise<string | undefined> {
  const { api } = deps.links;
  const url = await pictureUrl(deps, row.node_id, picture.id);
  const hasCurl = (await api(row.node_id, askCurl())).text.startsWith('curl ');
  const arriving = `${row.path}.${randomUUID()}`;
  try {
    await inBackground(deps, row.node_id, fetchFile(hasCurl ? 'curl' : 'wget', url, arriving, FETCH_SECONDS));
    const sha256 = parseHash((await api(row.node_id, hashFile(arriving))).text);
    if (sha256 !== picture.sha256) {
      return sha256
        ? 'another file arrived'
        : 'the node could not fetch it: it has neither curl nor wget, or no way here';
    }
    await api(row.node_id, replaceFile(arriving, row.path));
    return undefined;
  } finally {
    await api(row.node_id, removeFile(arriving)).catch(() => undefined);
  }
}

const inBackground = (deps: PictureDeps, nodeId: string, command: ApiCommand): Promise<Reply> =>
  deps.links.connection(nodeId).bgapi(command, { jobId: randomUUID(), timeoutMs: (FETCH_SECONDS + 2) * 1000 });

/** A node writes commands that fail into its log, address and all: this one opens one picture, for a minute. */
async function pictureUrl(deps: PictureDeps, nodeId: string, id: string): Promise<string> {
  const base = (await deps.links.api(nodeId, readGlobal('switchyard_xml_url'))).text.trim();
  if (!URL.canParse(base))
    throw new SwitchyardError('node_error', 'The node does not say where it reaches Switchyard.');
  const exp = Math.ceil(deps.now() / 1000) + TOKEN_SECONDS;
  const token = signToken(deps.secretKey, 'picture', { picture: id, exp });
  return `${new URL(base).origin}/freeswitch/pictures/${id}?token=${token}`;
}

type Did = 'nothing' | 'shown' | 'hidden' | 'refused';

/** Tells the node once for each state of the room. @param o.anew the layout was taken anew @param o.again once more later */
async function showPlaced(
  deps: PictureDeps,
  session: SessionRow,
  row: PlacedPicture,
  o: { visible: boolean; shown: string; anew: boolean; again: boolean },
): Promise<Did> {
  const now = deps.now();
  const isDue = row.confirm_at !== null && row.confirm_at.getTime() <= now;
  const isSame = row.shown === o.shown;
  if (isSame && !(o.anew && o.visible) && !(isDue && o.visible)) return 'nothing';
  const confirm = isSame || !o.again ? null : new Date(now + CONFIRM_MS);
  const { node_id: nodeId } = row;
  if (!o.visible) {
    const wasSeen = row.shown !== null && row.shown !== 'hidden';
    if (wasSeen && !(await hidePlaced(deps, session, row))) return 'refused';
    await store.savePlaced(deps.db, { ...row, shown: o.shown, confirm_at: null });
    return wasSeen ? 'hidden' : 'nothing';
  }
  const isWelcomed = row.kind === 'welcome';
  const command = isWelcomed ? setLayout(session.id, WELCOME_LAYOUT) : showBackground(session.id, row.path);
  if (!(await deps.links.api(nodeId, command)).ok) return 'refused';
  await store.savePlaced(deps.db, { ...row, shown: o.shown, confirm_at: confirm });
  return 'shown';
}

/** @returns whether the node has done it */
async function hidePlaced(deps: PictureDeps, session: SessionRow, row: PlacedPicture): Promise<boolean> {
  const { api } = deps.links;
  if (row.kind === 'welcome') {
    const layout = session.layout ?? readSettings(session.settings).layout;
    return (await api(row.node_id, setLayout(session.id, layout))).ok;
  }
  for (const command of hideBackground(session.id, row.path)) await api(row.node_id, command);
  return true;
}

async function forgetPlaced(deps: PictureDeps, row: PlacedPicture): Promise<void> {
  await deps.links.api(row.node_id, removeFile(row.path));
  await store.deletePlaced(deps.db, row.session_id, row.kind);
}

/** The files of sessions that are over, on nodes that can be reached; the others when they are back. */
async function clearPictures(deps: PictureDeps): Promise<void> {
  for (const row of await store.listLeftBehind(deps.db, LEFT_AT_ONCE)) {
    if (deps.links.isUp(row.node_id)) await forgetPlaced(deps, row);
  }
}

export interface PictureKeeper {
  /** What is asked while it runs for the same session waits its turn. */
  bring(session: SessionRow): Promise<PictureKind[]>;
  /** Looks at one session, and forgets faults: the sweep tries again. */
  nudge(sessionId: string): void;
  sweep(): Promise<void>;
  stop(): Promise<void>;
}

export function createPictureKeeper(deps: PictureDeps): PictureKeeper {
  const lines = new Map<string, Promise<PictureKind[]>>();

  function bring(session: SessionRow): Promise<PictureKind[]> {
    const before = lines.get(session.id) ?? Promise.resolve([]);
    const mine = before
      .catch(() => [])
      .then(async () => {
        const now = await findSession(deps.db, session.id);
        return now?.state === 'live' ? bringPictures(deps, now) : [];
      });
    lines.set(session.id, mine);
    const done = (): void => void (lines.get(session.id) === mine && lines.delete(session.id));
    mine.then(done, done);
    return mine;
  }

  return {
    bring,
    nudge(sessionId) {
      void findSession(deps.db, sessionId)
        .then((session) => session && bring(session))
        .catch((error: unknown) => deps.logger.debug({ err: error, sessionId }, 'a picture waits for the sweep'));
    },
    async sweep() {
      const due = await store.listSessionsWithPictures(deps.db);
      await Promise.all(due.map((session) => bring(session).catch(() => [...PICTURE_KINDS])));
      await clearPictures(deps);
    },
    async stop() {
      await Promise.allSettled(lines.values());
    },
  };
}
