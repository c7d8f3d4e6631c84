/** Names a synthetic call so that its name proves itself: only Switchyard can make one, for one node and a few seconds. */
import { createHash } from 'node:crypto';
import { readToken, signToken } from '../../../../infra/secrets';

const PREFIX = 'canary-';
/** Longer than the canary may take, and too short to be kept and used. */
const VALID_SECONDS = 25;

const markOf = (nodeId: string): string => createHash('sha256').update(nodeId).digest('hex').slice(0, 8);

export const looksLikeCanaryToken = (name: string): boolean => name.startsWith(PREFIX);

/** @param toneHz what is played; with it two in a row differ, and a file of the one before proves nothing */
export function makeCanaryToken(secretKey: Buffer, nodeId: string, toneHz: number, nowMs: number): string {
  const exp = Math.ceil(nowMs / 1000) + VALID_SECONDS;
  return PREFIX + signToken(secretKey, 'canary', { c: markOf(nodeId), f: toneHz, exp });
}

/** @returns what it plays, where it is a canary of this node that was started just now */
export function readCanaryToken(
  secretKey: Buffer,
  nodeId: string,
  name: string,
  nowMs: number,
): { toneHz: number } | undefined {
  if (!looksLikeCanaryToken(name)) return undefined;
  const claims = readToken(secretKey, 'canary', name.slice(PREFIX.length), nowMs);
  if (claims?.c !== markOf(nodeId)) return undefined;
  return { toneHz: Number(claims.f) };
}
