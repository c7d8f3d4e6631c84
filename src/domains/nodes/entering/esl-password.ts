/** Gives each process of a node an Event Socket password of its own, so that neither an old process nor an old machine has one that is good. */
import { isUnreachable } from '../../../infra/stores/db';
import { createSecret } from '../../../infra/secrets';
import { openNodePassword, sealNodePassword } from './node-password';
import type { NodeDeps } from '../nodes';
import { findNode, noteAskingCore, takeEslPassword, type NodeRow } from '../nodes.store';
import { isOwnId } from '../../../infra/ids';

/**
 * FreeSWITCH does not say which process it is when it asks for event_socket.conf (switch_xml_open_cfg without params), but
 * it does with sofia.conf and conference.conf, which are loaded before.
 */
export async function takeCore(
  deps: Pick<NodeDeps, 'db'>,
  node: Pick<NodeRow, 'id' | 'asking_core_uuid'>,
  coreUuid: string | undefined,
): Promise<void> {
  if (coreUuid === undefined || coreUuid === node.asking_core_uuid || !isOwnId(coreUuid)) return;
  await noteAskingCore(deps.db, node.id, coreUuid).catch((error: unknown) => {
    if (!isUnreachable(error)) throw error; // it keeps the password it has
  });
}

/**
 * Asked once by each process, when its Event Socket opens; a question that is asked again has the same answer.
 * @returns the password, and whether it was made now: then we have to connect again
 */
export async function giveEslPassword(
  deps: Pick<NodeDeps, 'db' | 'secretKey'>,
  node: Pick<NodeRow, 'id' | 'esl_password_sealed'>,
): Promise<{ password: string; isNew: boolean }> {
  const password = createSecret();
  if (await takeEslPassword(deps.db, node.id, sealNodePassword(deps.secretKey, node.id, password))) {
    return { password, isNew: true };
  }
  // Not the row at hand, which may be some seconds old.
  const now = (await findNode(deps.db, node.id)) ?? node;
  return { password: openNodePassword(deps.secretKey, now), isNew: false };
}
