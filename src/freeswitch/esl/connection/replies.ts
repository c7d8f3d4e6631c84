/** A node's answer to a command is a value: what it refused must be read by name, never guessed from its text. */

/** `cause` is the first word of a refusal (USER_NOT_REGISTERED, nosuchcmd, USAGE); `text` is everything it said. */
export type Reply = { ok: true; text: string } | { ok: false; cause: string; text: string };

/** Reads `+OK …`, `-ERR …`, `-USAGE: …`; any other text (a listing, JSON, a bare uuid) is a success. */
export function parseReply(raw: string): Reply {
  const text = raw.trim();
  if (text.startsWith('+OK')) return { ok: true, text: text.slice(3).trimStart() };
  if (text.startsWith('-ERR')) {
    const said = text.slice(4).trimStart();
    return { ok: false, cause: said.split(/\s/, 1)[0] || 'UNKNOWN', text: said };
  }
  if (text.startsWith('-USAGE')) return { ok: false, cause: 'USAGE', text: text.slice(6).replace(/^:?\s*/, '') };
  return { ok: true, text };
}
