/** What every event of a room carries: one form for sessions and participants, in the log and to webhooks. */
import type { EventDraft } from '../events/events.store';
import { isHiddenIdentity } from './participants/hidden';
import type { ParticipantRow } from './participants/participants.store';
import type { SessionRow } from './sessions/sessions.store';

export function draftSessionEvent(type: string, session: SessionRow, data: Record<string, unknown> = {}): EventDraft {
  return {
    stream: session.domain_id,
    type,
    roomId: session.room_id,
    nodeId: session.node_id,
    data: { sessionId: session.id, meetingId: session.meeting_id, epoch: Number(session.epoch), ...data },
  };
}

export function draftParticipantEvent(
  type: string,
  participant: ParticipantRow,
  data: Record<string, unknown> = {},
): EventDraft {
  return {
    stream: participant.domain_id,
    type,
    roomId: participant.room_id,
    callId: participant.call_id,
    // Others in the room read it: who hides is known by the call.
    userId: isHiddenIdentity(participant.identity) ? null : participant.user_id,
    data: {
      participantId: participant.id,
      sessionId: participant.session_id,
      identity: participant.identity,
      name: participant.name,
      role: participant.role,
      kind: participant.kind,
      grantId: participant.grant_id,
      ...data,
    },
  };
}
