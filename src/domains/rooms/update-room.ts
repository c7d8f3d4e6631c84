/** Changes a room: what a running session can take over at once is sent to its node, the rest waits for the next one. */
import { SwitchyardError } from '../../errors';
import type { Trx } from '../../infra/stores/db';
import { requireLayout } from './layouts/layouts';
import { planLiveChanges, type LiveChange } from './control/apply-settings';
import { sealPin } from './joining/pins';
import {
  checkPins,
  settingsOf,
  presentRoomWithoutPins,
  presentRoom,
  type RoomPatch,
  type RoomsDeps,
  type RoomView,
} from './rooms';
import { findRoom, lockRoomRow, updateRoom, type RoomRow } from './rooms.store';
import { findLivingSession, lockSession, updateSession, type SessionRow } from './sessions/sessions.store';
import { changedSettings, mergeSettings, readSettings, type RoomSettings } from './settings';

interface Change {
  row: RoomRow;
  changed: string[];
  settings: RoomSettings;
  living: SessionRow | undefined;
}

/**
 * Changes a room, and its running session where FreeSWITCH can.
 * @returns the room, and the settings that wait for the next session
 */
export async function changeRoom(
  deps: RoomsDeps,
  room: RoomRow,
  patch: RoomPatch,
): Promise<RoomView & { pending: string[] }> {
  const change = await deps.events.record(async (trx, emit) => {
    const done = await writeChange(deps, trx, room.id, patch);
    if (done.changed.length > 0) {
      const data = { room: presentRoomWithoutPins(done.row), changed: done.changed };
      emit({ stream: done.row.domain_id, type: 'room.updated', roomId: room.id, data });
    }
    return done;
  });
  const pending = change.living ? await applyToSession(deps, change.living, change.settings) : [];
  if (change.changed.length > 0) deps.hooks.settingsChanged(change.row, change.changed);
  return { ...presentRoom(deps.secretKey, change.row), pending };
}

async function writeChange(deps: RoomsDeps, trx: Trx, id: string, patch: RoomPatch): Promise<Change> {
  const before = await lockRoomRow(trx, id);
  if (!before) throw new SwitchyardError('not_found', 'No such room.');
  const was = presentRoom(deps.secretKey, before);
  const settings = mergeSettings(readSettings(before.settings), settingsOf(patch));
  const next = {
    pin: patch.pin === undefined ? was.pin : patch.pin,
    moderatorPin: patch.moderatorPin === undefined ? was.moderatorPin : patch.moderatorPin,
    displayName: patch.displayName ?? was.displayName,
    metadata: patch.metadata ?? was.metadata,
  };
  checkPins(next);
  const changed = changedSettings(readSettings(before.settings), settings);
  for (const name of ['pin', 'moderatorPin', 'displayName', 'metadata'] as const) {
    if (JSON.stringify(was[name]) !== JSON.stringify(next[name])) changed.push(name);
  }
  const found = await findLivingSession(trx, id);
  const living = found && (await lockSession(trx, found.id));
  if (changed.length === 0) return { row: before, changed, settings, living };
  if (changed.includes('layout')) await requireLayout(trx, before.domain_id, settings.layout);
  await updateRoom(trx, id, {
    settings: { ...settings },
    display_name: next.displayName,
    metadata: next.metadata,
    ...(changed.includes('pin') && { pin_sealed: sealPin(deps.secretKey, 'room-pin', id, next.pin) }),
    ...(changed.includes('moderatorPin') && {
      moderator_pin_sealed: sealPin(deps.secretKey, 'moderator-pin', id, next.moderatorPin),
    }),
  });
  // Desired at once; whoever keeps the desired state brings it about again where it gets lost.
  if (living && changed.includes('locked')) {
    await updateSession(trx, living.id, ['opening', 'live'], { locked: settings.locked });
  }
  return { row: (await findRoom(trx, id))!, changed, settings, living };
}

/** Brings a living session as near to the settings as its node can. @returns what waits for the next one */
async function applyToSession(deps: RoomsDeps, session: SessionRow, wanted: RoomSettings): Promise<string[]> {
  const running = readSettings(session.settings);
  const plan = planLiveChanges(session.id, running, wanted, changedSettings(running, wanted));
  // Nobody is there yet: the node asks for the profile when somebody enters, and gets the new one.
  const isEmpty = session.state === 'opening';
  if (isEmpty) await updateSession(deps.db, session.id, ['opening'], { settings: { ...wanted } });
  const refused: string[] = [];
  for (const change of plan.changes) {
    if (!(await sendChange(deps, session, change)) && !isEmpty) refused.push(...change.settings);
  }
  const pending = isEmpty ? [] : [...plan.pending, ...refused].sort();
  const layout = pending.includes('layout') ? {} : desiredLayout(running, wanted);
  const settings = isEmpty ? wanted : withoutPending(running, wanted, pending);
  await updateSession(deps.db, session.id, ['opening', 'live'], { settings: { ...settings }, ...layout });
  return pending;
}

/** The last word counts: a layout chosen for this session gives way to the room's new one. */
function desiredLayout(running: RoomSettings, wanted: RoomSettings): Partial<SessionRow> {
  return running.layout === wanted.layout ? {} : { layout: wanted.layout };
}

async function sendChange(deps: RoomsDeps, session: SessionRow, change: LiveChange): Promise<boolean> {
  try {
    for (const command of change.commands) {
      const reply = await deps.links.api(session.node_id ?? '', command);
      if (!reply.ok) return false;
    }
    return true;
  } catch (error) {
    deps.logger.warn(
      { err: error, sessionId: session.id, settings: change.settings },
      'a setting did not reach a room',
    );
    return false;
  }
}

/** `wanted`, except the named settings, which stay as they are running. */
function withoutPending(running: RoomSettings, wanted: RoomSettings, pending: readonly string[]): RoomSettings {
  const settings = structuredClone(wanted) as unknown as Record<string, unknown>;
  const old = running as unknown as Record<string, unknown>;
  for (const name of pending) {
    const [outer = '', inner] = name.split('.');
    if (inner === undefined) settings[outer] = old[outer];
    else (settings[outer] as Record<string, unknown>)[inner] = (old[outer] as Record<string, unknown>)[inner];
  }
  return settings as unknown as RoomSettings;
}
