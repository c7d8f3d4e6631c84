/** Brings recordings and a node together again after a reconnect: what it writes, what it still has, what it must end. */
import { SwitchyardError } from '../../../errors';
import { listRooms, parseRooms, recordRoom, type NodeConnection } from '../../../freeswitch/esl';
import type { NodeRow } from '../../nodes/nodes.store';
import { endUnseen, findTarget, stepLater } from './reconcile';
import { changeRecording, draftPartEvent, markRecording, type RecordingDeps } from './transition';
import { isWritten, partIdOf, weigh, type Ask } from './node-files';
import { findPart, isDamaged, isLiving, listPartsOfNode, updatePart, type PartRow } from '../parts.store';
import { dropOpenGaps, findRecording } from '../recordings.store';

/**
 * After every (re)connect: what the node writes is compared with what it should; files that were missing are looked
 * for, and uploads that had been given up are tried again.
 */
export async function reconcileRecordings(
  deps: RecordingDeps,
  node: NodeRow,
  connection: Pick<NodeConnection, 'api'>,
): Promise<void> {
  const ask: Ask = (command) => connection.api(command, { timeoutMs: deps.commandTimeoutMs });
  for (const part of await listPartsOfNode(deps.db, node.id, ['recording', 'stopping', 'absent'])) {
    const written = await isWritten(ask, part).catch((error: unknown) => {
      if (error instanceof SwitchyardError && error.code === 'node_error') return false;
      throw error;
    });
    if (part.state === 'absent') await takeBack(deps, part, ask, written);
    else if (!written) await endUnseen(deps, part, ask);
    await stepLater(deps, part.recording_id);
  }
  for (const part of await listPartsOfNode(deps.db, node.id, ['failed'])) {
    if (part.ended_at && part.node_copy && !isDamaged(part)) await retryPart(deps, part);
  }
  await stopStrangers(deps, node, ask);
}

/** A node that was cut off may still write; one that was killed may still have the file. */
async function takeBack(deps: RecordingDeps, part: PartRow, ask: Ask, written: boolean): Promise<void> {
  const isThere = written || (await weigh(ask, [part.path])).has(part.path);
  const recording = await findRecording(deps.db, part.recording_id);
  if (!recording) return;
  const target = await findTarget(deps, recording);
  await changeRecording(deps, part.recording_id, async (held) => {
    if (!isThere) {
      // One of which nobody ever heard that it began did not begin: nothing of it is missing.
      const state = part.started_at ? ('absent' as const) : ('failed' as const);
      await updatePart(held.trx, part.id, ['absent'], { state, fault: 'the node is back without the file' });
      return;
    }
    const isDesired = held.recording.desired === 'recording' && !held.parts.some(isLiving);
    if (written && isDesired && target.is === 'there' && target.sessionId === part.session_id) {
      await dropOpenGaps(held.trx, part.recording_id, ['node_died']); // it was only out of sight
      await markRecording(held, part, part.started_at ?? new Date(deps.now()));
      return;
    }
    const next = new Date(deps.now() + (written ? 2000 : 0));
    await updatePart(held.trx, part.id, ['absent'], { state: 'uploading', fault: null, tries: 0, next_try_at: next });
    held.emit(draftPartEvent(held.recording, part, 'uploading', { reason: 'the node is back with the file' }));
  });
}

/** Has all its tries before it again. @returns whether there was anything to try */
export async function retryPart(deps: RecordingDeps, part: PartRow): Promise<boolean> {
  const done = await changeRecording(deps, part.recording_id, async ({ trx, emit, recording }) => {
    const change = { state: 'uploading' as const, tries: 0, next_try_at: new Date(deps.now()), fault: null };
    if (!(await updatePart(trx, part.id, ['failed', 'absent'], change))) return false;
    emit(draftPartEvent(recording, part, 'uploading', { reason: 'tried again' }));
    return true;
  });
  return done ?? false;
}

/** A file of ours that a node writes for a part that is over: nobody would ever end it. */
async function stopStrangers(deps: RecordingDeps, node: NodeRow, ask: Ask): Promise<void> {
  const reply = await ask(listRooms());
  if (!reply.ok) return;
  for (const room of parseRooms(reply.text)) {
    for (const { path } of room.recordings) {
      const id = partIdOf(path);
      const part = id ? await findPart(deps.db, id) : undefined;
      if (!part || isLiving(part) || part.node_id !== node.id) continue;
      deps.logger.warn({ node: node.name, part: part.id }, 'ends a file whose recording is over');
      await ask(recordRoom(room.name, 'stop', path));
    }
  }
}
