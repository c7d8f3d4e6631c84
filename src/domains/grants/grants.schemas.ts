/** What a grant is asked with, and how it is shown: with its secrets once, without them ever after. */
import { z } from 'zod';
import { plainText } from '../../infra/text/plain-text';
import type { NamedGrant } from './grants.store';

const iceServer = z.object({
  urls: z.array(z.string()),
  username: z.string().optional(),
  credential: z.string().optional(),
});

const locationShape = {
  node: z.string().describe("The node's name."),
  wssUrl: z.string().describe('Where the browser signals: SIP over WebSocket.'),
  target: z.string().nullable().describe("What to dial to enter the room; null for a user's softphone."),
  iceServers: z.array(iceServer).describe('For RTCPeerConnection. TURN credentials expire with the grant.'),
};

const metadata = z.record(z.string().max(64), z.unknown()).refine((m) => JSON.stringify(m).length <= 4000, {
  message: 'must be at most 4000 characters of JSON',
});

/** Without secrets: as lists and events show it. */
export const grantSchema = z
  .object({
    id: z.uuid(),
    kind: z.enum(['room', 'user']),
    domain: z.string(),
    roomId: z.uuid().nullable(),
    userId: z.uuid().nullable(),
    identity: z.string(),
    name: z.string(),
    role: z.enum(['moderator', 'participant']),
    maxVideoKbps: z.number().int().nullable(),
    metadata: z.record(z.string(), z.unknown()),
    username: z.string().describe('Its SIP user name.'),
    node: z.string().nullable().describe('The node it was last sent to.'),
    state: z.enum(['valid', 'expired', 'revoked']),
    createdAt: z.iso.datetime(),
    expiresAt: z.iso.datetime(),
    usedAt: z.iso.datetime().nullable().describe('When it first registered or called.'),
    revokedAt: z.iso.datetime().nullable(),
  })
  .meta({ id: 'Grant' });
export type ShownGrant = z.output<typeof grantSchema>;

export const newGrantSchema = z
  .object({
    id: z.uuid(),
    ...locationShape,
    sipUri: z.string(),
    username: z.string().describe('SIP user name, also for the digest.'),
    ha1: z.string().describe('MD5 of username:realm:password, which JsSIP accepts instead of a password.'),
    realm: z.string(),
    identity: z.string(),
    role: z.enum(['moderator', 'participant']),
    maxVideoKbps: z.number().int().nullable(),
    expiresAt: z.iso.datetime(),
    token: z.string().describe("Reads the room's or user's events, and `GET /v1/grants/self`. Shown only this once."),
    eventsUrl: z.string().describe('Its events from now on; with EventSource add `&access_token=TOKEN`.'),
  })
  .meta({ id: 'NewGrant' });

export const selfSchema = z
  .object({
    id: z.uuid(),
    kind: z.enum(['room', 'user']),
    roomId: z.uuid().nullable(),
    userId: z.uuid().nullable(),
    ...locationShape,
    sipUri: z.string(),
    realm: z.string(),
    identity: z.string(),
    name: z.string(),
    role: z.enum(['moderator', 'participant']),
    maxVideoKbps: z.number().int().nullable(),
    expiresAt: z.iso.datetime(),
  })
  .meta({ id: 'GrantLocation' });

/** Names that say what they are begin so; a guest's name may not. */
const RESERVED = /^(?:user|number|grant|guest|anonymous|room|tel|sip):/i;

/** No grant ends further off than this from now. */
export const MOST_SECONDS = 86_400;

const grantBody = {
  name: plainText({ max: 128 }).optional().describe("Shown to the others; by default the user's display name."),
  maxVideoKbps: z
    .number()
    .int()
    .min(32)
    .max(20_000)
    .optional()
    .describe('Maximum video bandwidth in either direction, kilobit/s.'),
  expiresInSeconds: z.number().int().min(60).max(MOST_SECONDS).default(3600),
  metadata: metadata.default({}),
};
export const roomGrantBody = z.object({
  ...grantBody,
  identity: plainText({ min: 1, max: 128 })
    .refine((text) => !RESERVED.test(text), 'must not begin with user:, number: and the like')
    .optional()
    .describe('Your id for this person: the same identity is the same participant.'),
  userId: z.uuid().optional().describe('The user it is for; without this and `username` it is for a guest.'),
  username: z.string().min(1).max(64).optional().describe('The user it is for, by name.'),
  role: z.enum(['moderator', 'participant']).default('participant'),
});
export const userGrantBody = z.object(grantBody);

export const grantPatch = z
  .object({
    expiresAt: z.iso.datetime({ offset: true }).optional().describe('The new expiry, within a day from now.'),
    expiresInSeconds: z.number().int().min(60).max(MOST_SECONDS).optional().describe('The same, counted from now.'),
  })
  .refine((body) => (body.expiresAt === undefined) !== (body.expiresInSeconds === undefined), {
    path: ['expiresAt'],
    message: 'is required, or expiresInSeconds, but not both',
  });

export type GrantPatch = z.output<typeof grantPatch>;
export type RoomGrantInput = z.output<typeof roomGrantBody>;
export type UserGrantInput = z.output<typeof userGrantBody>;

export function presentGrant(row: NamedGrant, now: Date): ShownGrant {
  return {
    id: row.id,
    kind: row.kind,
    domain: row.domain_name,
    roomId: row.room_id,
    userId: row.user_id,
    identity: row.identity,
    name: row.name,
    role: row.role,
    maxVideoKbps: row.max_video_kbps,
    metadata: row.metadata,
    username: row.username,
    node: row.node_name,
    state: row.revoked_at ? 'revoked' : row.expires_at <= now ? 'expired' : 'valid',
    createdAt: row.created_at.toISOString(),
    expiresAt: row.expires_at.toISOString(),
    usedAt: row.used_at?.toISOString() ?? null,
    revokedAt: row.revoked_at?.toISOString() ?? null,
  };
}
