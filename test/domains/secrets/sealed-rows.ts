/** One row of everything that is sealed, as this version or the one before wrote it. */
import { createCipheriv, randomBytes } from 'node:crypto';
import type { Db } from '../../../src/infra/stores/db';
import { createId } from '../../../src/infra/ids';
import { decryptSecret, encryptSecret, openDigest, sealDigest } from '../../../src/infra/secrets';

export const DOMAIN = 'sealed.test';
export const HA1 = { alice: 'a'.repeat(32), guest: 'b'.repeat(32) };

/** As version 0.2 sealed. */
function sealAsBefore(key: Buffer, plain: string): string {
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, iv);
  const text = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
  return ['v1', ...[iv, cipher.getAuthTag(), text].map((part) => part.toString('base64url'))].join('.');
}

export interface SealedRows {
  nodeId: string;
  roomId: string;
  relayId: string;
}

/** @param form `before`: digests in clear and the rest under the secret itself */
export async function insertSealedRows(db: Db, secretKey: Buffer, form: 'now' | 'before'): Promise<SealedRows> {
  const [domainId, nodeId, roomId, relayId, userId] = Array.from({ length: 5 }, () => createId()) as [
    string,
    string,
    string,
    string,
    string,
  ];
  const seal = (purpose: 'node-password' | 'room-pin' | 'moderator-pin' | 'stream-key', of: string, plain: string) =>
    form === 'now' ? encryptSecret(secretKey, { purpose, of }, plain) : sealAsBefore(secretKey, plain);
  const digest = (username: string, ha1: string) =>
    form === 'now' ? sealDigest(secretKey, { username, domain: DOMAIN }, ha1) : ha1;
  await db('domains').insert({ id: domainId, name: DOMAIN });
  await db('users').insert({
    id: userId,
    domain_id: domainId,
    username: 'alice',
    ha1: digest('alice', HA1.alice),
    updated_at: new Date(1_700_000_000_000),
  });
  const ports = { esl_port: 1, sip_port: 2, internode_port: 3, ws_port: 4 };
  await db('nodes').insert({
    id: nodeId,
    name: 'node-1',
    secret_hash: '',
    host: '127.0.0.1',
    state: 'down',
    ...ports,
    esl_password_sealed: seal('node-password', nodeId, 'of the node'),
  });
  await db('rooms').insert({
    id: roomId,
    domain_id: domainId,
    name: 'daily',
    pin_sealed: seal('room-pin', roomId, '4711'),
    moderator_pin_sealed: seal('moderator-pin', roomId, '0815'),
  });
  await db('relays').insert({
    id: relayId,
    domain_id: domainId,
    room_id: roomId,
    url: 'rtmp://127.0.0.1/live',
    stream_key_sealed: seal('stream-key', relayId, 'of the stream'),
    max_restarts: 0,
    desired: 'live',
    state: 'waiting',
  });
  await db('grants').insert({
    id: createId(),
    kind: 'room',
    domain_id: domainId,
    room_id: roomId,
    username: 'g-guest',
    ha1: digest('g-guest', HA1.guest),
    token_hash: 'x',
    identity: 'guest',
    role: 'participant',
    expires_at: new Date(Date.now() + 3_600_000),
  });
  return { nodeId, roomId, relayId };
}

/** All of it, opened. @throws where one does not open */
export async function openSealedRows(db: Db, secretKey: Buffer, rows: SealedRows): Promise<string[]> {
  const [node, room, relay, user, grant] = await Promise.all([
    db('nodes').first(),
    db('rooms').first(),
    db('relays').first(),
    db('users').where({ username: 'alice' }).first(),
    db('grants').first(),
  ]);
  return [
    decryptSecret(secretKey, { purpose: 'node-password', of: rows.nodeId }, node.esl_password_sealed),
    decryptSecret(secretKey, { purpose: 'room-pin', of: rows.roomId }, room.pin_sealed),
    decryptSecret(secretKey, { purpose: 'moderator-pin', of: rows.roomId }, room.moderator_pin_sealed),
    decryptSecret(secretKey, { purpose: 'stream-key', of: rows.relayId }, relay.stream_key_sealed),
    openDigest(secretKey, { username: 'alice', domain: DOMAIN }, user.ha1),
    openDigest(secretKey, { username: 'g-guest', domain: DOMAIN }, grant.ha1),
  ];
}

export const PLAIN = ['of the node', '4711', '0815', 'of the stream', HA1.alice, HA1.guest];

/** Every text of the tables that hold sealed ones. */
export async function readSealedTables(db: Db): Promise<string> {
  return JSON.stringify(await Promise.all(['users', 'grants', 'nodes', 'rooms', 'relays'].map((table) => db(table))));
}
