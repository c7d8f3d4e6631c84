/** Tells other parts what has just become of a room; they also sweep, since a replica can die in between. */
import type { Logger } from '../../../infra/logger';
import type { ParticipantRow } from '../participants/participants.store';
import type { RoomRow } from '../rooms.store';
import type { SessionRow } from './sessions.store';

type Listener<A extends unknown[]> = (...values: A) => Promise<void> | void;

export interface RoomHooks {
  /** The node has made the room: the first participant is entering. */
  onSessionLive(listener: Listener<[SessionRow]>): () => void;
  /** Over, or moved to another node: `end_reason` says which. */
  onSessionEnded(listener: Listener<[SessionRow]>): () => void;
  onParticipantIn(listener: Listener<[SessionRow, ParticipantRow]>): () => void;
  onParticipantLeft(listener: Listener<[SessionRow, ParticipantRow]>): () => void;
  /** A room's settings were changed over REST; the names of those that are different now. */
  onSettingsChanged(listener: Listener<[RoomRow, string[]]>): () => void;
}

export interface RoomHooksOwner extends RoomHooks {
  sessionLive(session: SessionRow): void;
  sessionEnded(session: SessionRow): void;
  participantIn(session: SessionRow, participant: ParticipantRow): void;
  participantLeft(session: SessionRow, participant: ParticipantRow): void;
  settingsChanged(room: RoomRow, changed: string[]): void;
}

function createHook<A extends unknown[]>(
  name: string,
  logger: Logger,
): { on(listener: Listener<A>): () => void; tell(...values: A): void } {
  const listeners = new Set<Listener<A>>();
  return {
    on(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    tell(...values) {
      for (const listener of listeners) {
        void (async () => listener(...values))().catch((error: unknown) => {
          logger.warn({ err: error, hook: name }, 'a listener failed; its sweep makes it good');
        });
      }
    },
  };
}

/** Listeners run beside one another after the state is committed; none can hold up or fail the others. */
export function createRoomHooks(logger: Logger): RoomHooksOwner {
  const live = createHook<[SessionRow]>('session live', logger);
  const ended = createHook<[SessionRow]>('session ended', logger);
  const entered = createHook<[SessionRow, ParticipantRow]>('participant in', logger);
  const left = createHook<[SessionRow, ParticipantRow]>('participant left', logger);
  const changed = createHook<[RoomRow, string[]]>('settings changed', logger);
  return {
    onSessionLive: live.on,
    onSessionEnded: ended.on,
    onParticipantIn: entered.on,
    onParticipantLeft: left.on,
    onSettingsChanged: changed.on,
    sessionLive: live.tell,
    sessionEnded: ended.tell,
    participantIn: entered.tell,
    participantLeft: left.tell,
    settingsChanged: changed.tell,
  };
}
