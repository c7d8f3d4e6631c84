/** Says whether a body is JSON as we read it, by its Content-Type: whatever else clients write beside it, it is UTF-8. */

/** application/json, and what says that it is JSON too: application/merge-patch+json, application/vnd.acme.v1+json. */
const JSON_TYPE = /^application\/(?:json|[\w!#$&^.-]+\+json)$/i;
/** One parameter, from where its `;` stands; each part can be read in one way only, so that none takes long. */
const PARAMETER = /;[ \t]*(?:([\w!#$%&'*+.^`|~-]+)=("(?:[^"\\]|\\.)*"|[\w!#$%&'*+.^`|~-]+)[ \t]*)?/y;
/** ASCII is UTF-8. Some HTTP clients name it so by themselves. */
const UTF_8: readonly string[] = ['utf-8', 'utf8', 'us-ascii', 'ascii'];
const MAX_HEADER = 1024;

export function isJsonType(header: string): boolean {
  if (header.length > MAX_HEADER) return false;
  const at = header.indexOf(';');
  const type = (at < 0 ? header : header.slice(0, at)).trim();
  return JSON_TYPE.test(type) && (at < 0 || haveUtf8(header.slice(at)));
}

/** @returns whether these are parameters, and none names another charset */
function haveUtf8(parameters: string): boolean {
  PARAMETER.lastIndex = 0;
  while (PARAMETER.lastIndex < parameters.length) {
    const match = PARAMETER.exec(parameters);
    if (!match) return false;
    const [, name, value] = match;
    if (name?.toLowerCase() === 'charset' && !UTF_8.includes(value!.replace(/^"|"$/g, '').toLowerCase())) return false;
  }
  return true;
}
