/** Fetches the mixed image of a room from its node, wherever that is: it writes a file, which comes over the Event Socket. */
import { randomUUID } from 'node:crypto';
import { SwitchyardError } from '../../../errors';
import {
  parsePrinted,
  parseTempFolder,
  printFile,
  readGlobal,
  removeFile,
  writeSnapshot,
} from '../../../freeswitch/esl';
import { requireMixed } from './room';
import type { RoomRow } from '../rooms.store';
import { command, requireLive, type ControlDeps } from './participants';

const PNG = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
/** The end of every PNG: without it the file was read before it was whole. */
const PNG_END = Buffer.from([0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82]);

/** @throws conflict where nobody is in, or no image is mixed; node_error where the node can't give it */
export async function takeSnapshot(deps: ControlDeps, room: RoomRow): Promise<Buffer> {
  const session = await requireLive(deps, room);
  requireMixed(session);
  const folder = parseTempFolder((await deps.links.api(session.node_id, readGlobal('temp_dir'))).text);
  const file = `${folder}/snapshot-${randomUUID()}.png`;
  try {
    await command(deps, session.node_id, writeSnapshot(session.id, file));
    const image = parsePrinted(await command(deps, session.node_id, printFile(file)));
    if (!image?.subarray(0, 8).equals(PNG) || !image.subarray(-8).equals(PNG_END)) {
      throw new SwitchyardError('node_error', "The node didn't write the snapshot, or couldn't read it back.");
    }
    return image;
  } finally {
    await deps.links.api(session.node_id, removeFile(file)).catch(() => undefined);
  }
}
