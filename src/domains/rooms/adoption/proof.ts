/**
 * What a member's channel shows of the room it was let into, and as whom. Rows may be lost (an older backup was restored)
 * while people talk: then nothing else tells. It is worth nothing for another channel, session or node.
 */
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { isPlainValue } from '../../../freeswitch/xml';
import { readToken, signToken } from '../../../infra/secrets';
import type { ParticipantRow } from '../participants/participants.store';
import type { RoomRow } from '../rooms.store';
import type { SessionRow } from '../sessions/sessions.store';
import { DEFAULT_SETTINGS } from '../settings';

/** Longer than anybody may be in a room (MAX_CALL_HOURS). */
export const PROOF_SECONDS = 8 * 86_400;

const optional = <T extends z.ZodType>(schema: T) => schema.optional().transform((value) => value ?? null);

const claimsSchema = z.object({
  l: z.uuid(),
  n: z.string(),
  s: z.uuid(),
  m: z.uuid(),
  r: z.uuid(),
  d: z.uuid(),
  rn: z.string().min(1).max(255),
  rs: z.string().max(2048),
  /** The room let in nobody without a PIN, or was locked. */
  rl: z.literal([0, 1]),
  q: z.number().int().positive(),
  p: z.uuid(),
  c: optional(z.uuid()),
  i: z.string().max(255),
  k: z.enum(['grant', 'user', 'number']),
  g: optional(z.uuid()),
  u: optional(z.uuid()),
  pn: z.string().max(512),
  po: z.enum(['moderator', 'participant']),
  pb: optional(z.number().int().positive()),
  e: z.number().int().positive(),
});

export interface RoomProof {
  session: { id: string; meetingId: string; openedAt: Date };
  room: { id: string; domainId: string; name: string; settings: Record<string, unknown>; isClosed: boolean };
  participant: Pick<
    ParticipantRow,
    'id' | 'call_id' | 'identity' | 'kind' | 'grant_id' | 'user_id' | 'name' | 'role' | 'max_video_kbps' | 'entering_at'
  >;
}

/** Whom a plan lets in, and where. */
export interface Admitted {
  nodeName: string;
  legId: string;
  session: SessionRow;
  room: RoomRow;
  participant: ParticipantRow;
}

/** Only what is not as by default: a channel's variable is short. */
const settingsText = (settings: Record<string, unknown>): string =>
  JSON.stringify(
    Object.fromEntries(
      Object.entries(settings).filter(
        ([name, value]) => !isDeepStrictEqual(value, DEFAULT_SETTINGS[name as keyof typeof DEFAULT_SETTINGS]),
      ),
    ),
  );

/** @returns undefined where it is longer than a channel may show */
export function signRoomProof(secretKey: Buffer, o: Admitted, nowMs: number): string | undefined {
  const { session, room, participant } = o;
  const isClosed = room.pin_sealed !== null || room.moderator_pin_sealed !== null || session.locked;
  const sign = (settings: string): string =>
    signToken(secretKey, 'room-adoption', {
      l: o.legId,
      n: o.nodeName,
      s: session.id,
      m: session.meeting_id,
      r: room.id,
      d: room.domain_id,
      rn: room.name,
      rs: settings,
      rl: isClosed ? 1 : 0,
      q: session.opened_at.getTime(),
      p: participant.id,
      ...(participant.call_id === null ? {} : { c: participant.call_id }),
      i: participant.identity,
      k: participant.kind,
      ...(participant.grant_id === null ? {} : { g: participant.grant_id }),
      ...(participant.user_id === null ? {} : { u: participant.user_id }),
      pn: participant.name,
      po: participant.role,
      ...(participant.max_video_kbps === null ? {} : { pb: participant.max_video_kbps }),
      e: participant.entering_at.getTime(),
      exp: Math.floor(nowMs / 1000) + PROOF_SECONDS,
    });
  return [settingsText(session.settings), '{}'].map(sign).find(isPlainValue);
}

/** @returns undefined where it is forged, too old, or was given to another node, channel or session */
export function readRoomProof(
  secretKey: Buffer,
  shownBy: { nodeName: string; legId: string; sessionId: string },
  token: string,
  nowMs: number,
): RoomProof | undefined {
  const read = claimsSchema.safeParse(readToken(secretKey, 'room-adoption', token, nowMs));
  if (!read.success) return undefined;
  const claims = read.data;
  if (claims.n !== shownBy.nodeName || claims.l !== shownBy.legId || claims.s !== shownBy.sessionId) return undefined;
  if (claims.q > nowMs || claims.e > nowMs) return undefined;
  return {
    session: { id: claims.s, meetingId: claims.m, openedAt: new Date(claims.q) },
    room: {
      id: claims.r,
      domainId: claims.d,
      name: claims.rn,
      settings: JSON.parse(claims.rs) as Record<string, unknown>,
      isClosed: claims.rl === 1,
    },
    participant: {
      id: claims.p,
      call_id: claims.c,
      identity: claims.i,
      kind: claims.k,
      grant_id: claims.g,
      user_id: claims.u,
      name: claims.pn,
      role: claims.po,
      max_video_kbps: claims.pb,
      entering_at: new Date(claims.e),
    },
  };
}
