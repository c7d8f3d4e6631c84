/** Takes out of a call record what nobody may keep, wherever it stands: a node writes down each step of a channel with all that was given to it. */
import { SECRET_VARIABLES } from '../../../freeswitch/xml';

const HIDDEN = 'not-kept';

/** Of this shape is every token that we sign, whatever it is for; a variable's value may be written percent-encoded, and none of its characters is. */
const TOKEN = /eyJ[\w-]{8,}\.[\w-]{16,}/g;

const namesInPattern = SECRET_VARIABLES.map((name) => name.replace(/\W/g, '\\$&')).join('|');
/** `name=value` in an application's arguments or a dial string, up to what ends a value there. */
const ASSIGNED = new RegExp(`(${namesInPattern})(=|%3D)[^\\s,;&|^\\]}>'"]+`, 'gi');

const isSecret = (name: string): boolean => (SECRET_VARIABLES as readonly string[]).includes(name);

const scrubText = (text: string): string => text.replace(TOKEN, HIDDEN).replace(ASSIGNED, `$1$2${HIDDEN}`);

/**
 * The record as it is kept: the digits of a PIN, and the tokens by which calls were handed over, stand nowhere in it. A
 * token would be good for minutes, and a record is read by people and copied into backups.
 * @param record parsed, and no deeper than JSON of ours may be
 */
export function withoutSecrets(record: unknown): unknown {
  if (typeof record === 'string') return scrubText(record);
  if (Array.isArray(record)) return record.map(withoutSecrets);
  if (typeof record !== 'object' || record === null) return record;
  const kept = Object.entries(record).filter(([name]) => !isSecret(name));
  return Object.fromEntries(kept.map(([name, value]) => [scrubText(name), withoutSecrets(value)]));
}
