/** Keeps the images of running rooms where they are seen: brought to the node, shown again, and taken away at the end. */
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
import { imageFile, WELCOME_LAYOUT } from '../../../freeswitch/xml';
import { signToken } from '../../../infra/secrets';
import { listParticipants, type ParticipantRow } from '../participants/participants.store';
import type { ImageDeps } from './images';
import * as store from './images.store';
import { IMAGE_KINDS, type ImageFacts, type ImageKind, type PlacedImage } from './images.store';
import { draftSessionEvent } from '../room-events';
import { findSession, type SessionRow } from '../sessions/sessions.store';
import { isMixed, readSettings, type RoomSettings } from '../settings';
import { backoffMs } from '../../../infra/flow/backoff';

const TRIES = 5;
const FIRST_PAUSE_MS = 2000;
const LONGEST_PAUSE_MS = 60_000;
const FETCH_SECONDS = 10;
const TOKEN_SECONDS = 60;
/** A group of layouts grows some time after somebody entered, when their image is there. */
const CONFIRM_MS = 3000;
const LEFT_AT_ONCE = 50;

/** The welcome is seen by who is alone, and by all while no moderator is there to begin. */
export function isWelcome(settings: RoomSettings, people: readonly Pick<ParticipantRow, 'state' | 'role'>[]): boolean {
  const inside = people.filter(({ state }) => state === 'in');
  if (inside.length <= 1) return true;
  return settings.waitForModerator && !inside.some(({ role }) => role === 'moderator');
}

/** Waits longer after each try in vain. */
export const pauseBeforeImage = (tries: number): number =>
  backoffMs(tries, { firstMs: FIRST_PAUSE_MS, longestMs: LONGEST_PAUSE_MS });

/** @returns the kinds the session could not take over */
async function syncImages(deps: ImageDeps, session: SessionRow): Promise<ImageKind[]> {
  const settings = readSettings(session.settings);
  const wanted = await store.listImages(deps.db, session.room_id);
  if (!isMixed(settings)) return wanted.map(({ kind }) => kind);
  const nodeId = session.node_id;
  const placed = await store.listPlaced(deps.db, session.id);
  if (wanted.length === 0 && placed.length === 0) return [];
  if (!nodeId || !deps.links.isUp(nodeId)) return wanted.map(({ kind }) => kind);
  const people = await listParticipants(deps.db, session.id);
  const welcome = isWelcome(settings, people);
  const count = people.filter(({ state }) => state === 'in').length;
  const waiting: ImageKind[] = [];
  let wiped = false; // the mixer has taken a layout anew, and lost a background that is not the layout's
  for (const kind of ['welcome', 'background'] as const) {
    const image = wanted.find((one) => one.kind === kind);
    const before = placed.find((one) => one.kind === kind);
    if (!image && !before) continue;
    const row = before ?? newPlaced(session.id, nodeId, kind, await choosePath(deps, nodeId, session.id, kind));
    if (!(await placeImage(deps, session, row, image))) {
      if (image) waiting.push(kind);
      continue;
    }
    const visible = image !== undefined && (kind === 'background' || welcome);
    const layoutsHave = image !== undefined && kind === 'background' && isInLayouts(image, session);
    const state = layoutsHave ? '' : `:${session.observed.layout ?? ''}:${count}`;
    const shown = visible ? `${image.id}${state}` : 'hidden';
    const did = await presentPlaced(deps, session, row, {
      visible,
      shown,
      anew: wiped && !layoutsHave,
      again: !layoutsHave,
    });
    if (did === 'hidden') wiped = true;
    if (did === 'refused') waiting.push(kind);
    if (!image) await forgetPlaced(deps, row);
  }
  return waiting;
}

/** Clocks of nodes and ours differ by less. */
const SKEW_MS = 60_000;

/** Whether the layouts the session was started with surely bring the background along. */
const isInLayouts = (image: ImageFacts, session: SessionRow): boolean =>
  session.started_at !== null && image.created_at.getTime() < session.started_at.getTime() - SKEW_MS;

function newPlaced(sessionId: string, nodeId: string, kind: ImageKind, path: string): PlacedImage {
  const nothing = { image_id: null, tried_id: null, tries: 0, next_try_at: null, fault: null };
  return { session_id: sessionId, node_id: nodeId, kind, path, ...nothing, shown: null, confirm_at: null };
}

async function choosePath(deps: ImageDeps, nodeId: string, sessionId: string, kind: ImageKind): Promise<string> {
  const folder = parseTempFolder((await deps.links.api(nodeId, readGlobal('temp_dir'))).text);
  return `${folder}/${imageFile(sessionId, kind)}`;
}

/** @returns whether what should lie on the node lies there; changes `row` */
async function placeImage(
  deps: ImageDeps,
  session: SessionRow,
  row: PlacedImage,
  image: ImageFacts | undefined,
): Promise<boolean> {
  if (!image || row.image_id === image.id) return true;
  const now = deps.now();
  const isNew = row.tried_id !== image.id;
  if (!isNew && (row.tries >= TRIES || (row.next_try_at?.getTime() ?? 0) > now)) return false;
  const tries = (isNew ? 0 : row.tries) + 1;
  Object.assign(row, { tried_id: image.id, tries });
  const fault = await fetchImage(deps, row, image).catch((error: unknown) =>
    error instanceof SwitchyardError ? error.message : 'the node was lost meanwhile',
  );
  if (fault === undefined) {
    Object.assign(row, { image_id: image.id, fault: null, next_try_at: null, tries: 0, shown: null });
    await store.savePlaced(deps.db, row);
    return true;
  }
  Object.assign(row, { fault, next_try_at: new Date(now + pauseBeforeImage(tries)) });
  await store.savePlaced(deps.db, row);
  deps.logger.warn({ sessionId: session.id, image: row.kind, tries, fault }, 'an image did not come to its node');
  if (tries >= TRIES) {
    const data = { what: `${row.kind}.image`, wanted: image.id, seen: fault, tries };
    await deps.events.record((_trx, emit) => {
      emit(draftSessionEvent('session.change_failed', session, data));
      return Promise.resolve();
    });
  }
  return false;
}

/** @returns why it is not there; undefined where it is */
async function fetchImage(deps: ImageDeps, row: PlacedImage, image: ImageFacts): Promise<string | undefined> {
  const { api } = deps.links;
  const url = await imageUrl(deps, row.node_id, image.id);
  const hasCurl = (await api(row.node_id, askCurl())).text.startsWith('curl ');
  const arriving = `${row.path}.${randomUUID()}`;
  try {
    await inBackground(deps, row.node_id, fetchFile(hasCurl ? 'curl' : 'wget', url, arriving, FETCH_SECONDS));
    const sha256 = parseHash((await api(row.node_id, hashFile(arriving))).text);
    if (sha256 !== image.sha256) {
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

const inBackground = (deps: ImageDeps, nodeId: string, command: ApiCommand): Promise<Reply> =>
  deps.links.connection(nodeId).bgapi(command, { jobId: randomUUID(), timeoutMs: (FETCH_SECONDS + 2) * 1000 });

/** A node writes commands that fail into its log, address and all: this one opens one image, for a minute. */
async function imageUrl(deps: ImageDeps, nodeId: string, id: string): Promise<string> {
  const base = (await deps.links.api(nodeId, readGlobal('switchyard_xml_url'))).text.trim();
  if (!URL.canParse(base))
    throw new SwitchyardError('node_error', "The node hasn't reported at which URL it reaches Switchyard.");
  const exp = Math.ceil(deps.now() / 1000) + TOKEN_SECONDS;
  const token = signToken(deps.secretKey, 'image', { image: id, exp });
  return `${new URL(base).origin}/freeswitch/images/${id}?token=${token}`;
}

type Did = 'nothing' | 'shown' | 'hidden' | 'refused';

/** Tells the node once for each state of the room. @param o.again the layout was taken again @param o.again once more later */
async function presentPlaced(
  deps: ImageDeps,
  session: SessionRow,
  row: PlacedImage,
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
async function hidePlaced(deps: ImageDeps, session: SessionRow, row: PlacedImage): Promise<boolean> {
  const { api } = deps.links;
  if (row.kind === 'welcome') {
    const layout = session.layout ?? readSettings(session.settings).layout;
    return (await api(row.node_id, setLayout(session.id, layout))).ok;
  }
  for (const command of hideBackground(session.id, row.path)) await api(row.node_id, command);
  return true;
}

async function forgetPlaced(deps: ImageDeps, row: PlacedImage): Promise<void> {
  await deps.links.api(row.node_id, removeFile(row.path));
  await store.deletePlaced(deps.db, row.session_id, row.kind);
}

/** The files of sessions that are over, on nodes that can be reached; the others when they are back. */
async function clearImages(deps: ImageDeps): Promise<void> {
  for (const row of await store.listLeftBehind(deps.db, LEFT_AT_ONCE)) {
    if (deps.links.isUp(row.node_id)) await forgetPlaced(deps, row);
  }
}

export interface ImageSync {
  /** What is asked while it runs for the same session waits its turn. */
  bring(session: SessionRow): Promise<ImageKind[]>;
  /** Looks at one session, and forgets faults: the sweep tries again. */
  nudge(sessionId: string): void;
  sweep(): Promise<void>;
  stop(): Promise<void>;
}

export function createImageSync(deps: ImageDeps): ImageSync {
  const lines = new Map<string, Promise<ImageKind[]>>();

  function bring(session: SessionRow): Promise<ImageKind[]> {
    const before = lines.get(session.id) ?? Promise.resolve([]);
    const mine = before
      .catch(() => [])
      .then(async () => {
        const now = await findSession(deps.db, session.id);
        return now?.state === 'live' ? syncImages(deps, now) : [];
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
        .catch((error: unknown) => deps.logger.debug({ err: error, sessionId }, 'an image waits for the sweep'));
    },
    async sweep() {
      const due = await store.listSessionsWithImages(deps.db);
      await Promise.all(due.map((session) => bring(session).catch(() => [...IMAGE_KINDS])));
      await clearImages(deps);
    },
    async stop() {
      await Promise.allSettled(lines.values());
    },
  };
}
