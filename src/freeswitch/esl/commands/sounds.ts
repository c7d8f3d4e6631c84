/** What may be played by a node for a person: a file below its sounds, or tones that were read. Nothing else it would open. */
import { SwitchyardError } from '../../../errors';
import { escapeArgument } from '../escape';
import { readTones, writeTones } from './tones';

const TONES = 'tone_stream://';
/** `tone_stream://`, `http://`, `say:`; and `{…}` in front of any, which sets parameters. */
const OTHER_SOURCE = /^\s*\{|:/;

/**
 * The argument of a command that plays. Tones are written again from what was read of them.
 * @throws invalid_request for tones that can't be read, and for every other kind of source
 */
export function soundSource(source: string): string {
  if (!source.startsWith(TONES)) {
    if (OTHER_SOURCE.test(source)) throw new SwitchyardError('invalid_request', 'Neither a file nor a tone.');
    return escapeArgument(source, 'path');
  }
  const found = readTones(source.slice(TONES.length));
  if ('fault' in found) throw new SwitchyardError('invalid_request', `The tone ${found.fault}.`);
  return escapeArgument(TONES + writeTones(found.tones), 'tone');
}
