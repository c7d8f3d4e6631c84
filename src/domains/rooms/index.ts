/** Puts together all that rooms do while they run, so that main.ts wires them as one part. */
import type { ApiCommand, NodeConnection } from '../../freeswitch/esl';
import { reconcileRooms, moveSessionsOfNode, type RoomReconcileDeps } from './sessions/reconcile-node';
import { settleMember, settleRoom, type StrangerDeps } from './adoption/strangers';
import { createChannelMemories } from '../calls/adoption/channel-memory';
import { drainOf, type DrainDeps } from './sessions/drain';
import type { EnteringDeps } from './joining/join.dialplan';
import { createRoomHooks, type RoomHooksOwner } from './sessions/listeners';
import { handleMemberFacts } from './participants/handle-members';
import { markLeft } from './participants/member-events';
import type { MemberFact } from './participants/reduce-members';
import type { ParticipantRow } from './participants/participants.store';
import type { RoomRow } from './rooms.store';
import { closeSession, openSession, type Opened, type OpenOptions, type SessionDeps } from './sessions/sessions';
import type { SessionRow } from './sessions/sessions.store';
import { readSettings } from './settings';
import { createRoomsSweep } from './sessions/sweep';
import { weighSession } from './sessions/claim-size';
import { createCoalesced, createTurns } from '../../infra/flow/turns';
import { signalUrl, type NodeRow } from '../nodes/nodes.store';
import { storeClock } from '../../infra/store-clock';
import { type Domain } from '../domain';

export interface RunningRoomsOptions extends Omit<SessionDeps, 'hooks' | 'lockedFromStart'> {
  secretKey: Buffer;
  commandTimeoutMs: number;
  onEntered: RoomReconcileDeps['onEntered'];
  redial: RoomReconcileDeps['redial'];
  rejoinLate: RoomReconcileDeps['rejoinLate'];
  signal: AbortSignal;
  pins?: EnteringDeps['pins'];
}

export interface RunningRooms extends Domain {
  hooks: RoomHooksOwner;
  /** What the dialplan needs. */
  entering: EnteringDeps;
  open(room: RoomRow, o: OpenOptions): Promise<Opened>;
  /** Ends a session for everybody in it. */
  close(session: SessionRow): Promise<void>;
  /** Who is in which room by these, and whose channel has ended: what rooms and channels tell, in the order in which it came. */
  handleMemberFacts(facts: readonly MemberFact[]): Promise<void>;
  /** @param suspects kept from look to look, where events flow meanwhile */
  compare(node: NodeRow, connection: NodeConnection, suspects?: Set<string>): Promise<void>;
  /** The deadline of a drain: everybody is told to move. */
  empty(node: NodeRow): Promise<void>;
  /** Writes down that somebody is out of a room. */
  markLeft(participant: ParticipantRow, at: Date, reason: string): Promise<boolean>;
}

export function createRunningRooms(o: RunningRoomsOptions): RunningRooms {
  const hooks = createRoomHooks(o.logger);
  const session: SessionDeps = {
    ...o,
    hooks,
    lockedFromStart: (room) => readSettings(room.settings).locked,
  };
  const whereNow = ({ node }: Opened) => ({ nodeId: node.id, wssUrl: signalUrl(node) });
  const entering: EnteringDeps = {
    ...session,
    whereNow,
    secretKey: o.secretKey,
    pins: o.pins,
    readAdmissionPolicy(room) {
      const { maxParticipants, mutedOnEntry, audioOnly, video } = readSettings(room.settings);
      return {
        maxParticipants,
        mutedOnEntry,
        audioOnly,
        participantKbps: video.participantKbps ?? undefined,
      };
    },
  };
  // A node is asked, which takes its time: nobody else's reports wait for it.
  const strangers = createTurns((error) =>
    o.logger.warn({ err: error }, 'a room that no row explains is left to the next look'),
  );
  const stranger: StrangerDeps = {
    ...session,
    secretKey: o.secretKey,
    onEntered: o.onEntered,
    onStranger(node, living, room) {
      const check = {
        node,
        ask: (command: ApiCommand) => o.links.api(node.id, command),
        now: storeClock.now(),
      };
      strangers.add(node.id, async () => {
        if (!living) return settleRoom(stranger, check, room);
        for (const member of room.members) await settleMember(stranger, check, living, room, member);
      });
    },
  };
  const compare: DrainDeps = {
    ...stranger,
    memories: createChannelMemories(),
    commandTimeoutMs: o.commandTimeoutMs,
    redial: o.redial,
    rejoinLate: o.rejoinLate,
    signal: o.signal,
    whereNow,
  };
  // Of all who come in one batch a session is weighed once.
  const weigh = createCoalesced((sessionId) => weighSession(session, sessionId));
  for (const listen of [hooks.onParticipantIn, hooks.onParticipantLeft]) listen(({ id }) => weigh(id));
  /** The node's process is gone: its rooms go on elsewhere. */
  const moveAway = (node: NodeRow): Promise<void> => moveSessionsOfNode(compare, node.id, 'node_died');
  return {
    hooks,
    entering,
    open: (room, options) => openSession(session, room, options),
    close: (living) => closeSession(session, living, 'closed'),
    handleMemberFacts: (facts) => handleMemberFacts(compare, facts),
    compare: (node, connection, suspects) => reconcileRooms(compare, node, connection, storeClock.now(), suspects),
    handlers: {
      onRestarted: moveAway,
      onSnapshot: (node, connection) => reconcileRooms(compare, node, connection, storeClock.now()),
      onDown: moveAway,
    },
    empty: (node) => drainOf(compare, node),
    sweeps: [{ name: 'rooms', run: createRoomsSweep(compare) }],
    markLeft: (participant, at, reason) => markLeft(compare, participant, at, reason),
  };
}
