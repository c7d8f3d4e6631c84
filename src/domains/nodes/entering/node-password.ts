/** A node's Event Socket password: made here, kept sealed for this one node, and opened where it is connected to or told. */
import { createSecret, decryptSecret, encryptSecret, type Sealed } from '../../../infra/secrets';
import type { NodeRow } from '../nodes.store';

const what = (nodeId: string): Sealed => ({ purpose: 'node-password', of: nodeId });

/** @returns a new one, sealed */
export const makeNodePassword = (secretKey: Buffer, nodeId: string): string =>
  sealNodePassword(secretKey, nodeId, createSecret());

export const sealNodePassword = (secretKey: Buffer, nodeId: string, password: string): string =>
  encryptSecret(secretKey, what(nodeId), password);

/** @throws Error where no secret that is known here has sealed it */
export const openNodePassword = (secretKey: Buffer, node: Pick<NodeRow, 'id' | 'esl_password_sealed'>): string =>
  decryptSecret(secretKey, what(node.id), node.esl_password_sealed);
