/** Commands about recordings as files of a node: written, weighed, hashed, sent and removed there, without a shell. */
import { SwitchyardError } from '../../../errors';
import type { ApiCommand } from './commands';
import { assertToken, escapeArgument } from '../escape';
import { ID_PATTERN } from '../../../infra/ids';

const file = (path: string): string => escapeArgument(path, 'path');

/** FreeSWITCH splits a spawned command at blanks into 64 words at most, and runs it without a shell. */
const FILES_AT_ONCE = 50;

/**
 * Records one leg: what it says on the left, what it hears on the right. `RECORD_START` says that it runs. FreeSWITCH
 * takes a second start of the same file with `+OK`, and does nothing.
 */
export const startLegRecording = (legId: string, path: string): ApiCommand => ({
  line: `uuid_record ${assertToken(legId, 'legId')} start ${file(path)} 0 {RECORD_STEREO=true}`,
});

export const stopLegRecording = (legId: string, path: string): ApiCommand => ({
  line: `uuid_record ${assertToken(legId, 'legId')} stop ${file(path)}`,
});

/** What listens in on a leg, recordings among it; readLegRecordings() reads it. `-ERR` where there is no such leg. */
export const listLegRecordings = (legId: string): ApiCommand => ({
  line: `uuid_buglist ${assertToken(legId, 'legId')}`,
});

/** The files a leg is recorded into right now. */
export function readLegRecordings(reply: string): string[] {
  const bugs = reply.matchAll(/<function>session_record<\/function>\s*<target>([^<]*)<\/target>/g);
  return [...bugs].map((match) => match[1]!);
}

/** One of the node's global variables; an empty answer where it has none of that name. */
export const readGlobal = (name: string): ApiCommand => ({ line: `global_getvar ${assertToken(name, 'name')}` });

/** The size of each file that is there; parseSizes() reads it. The others are left out. */
export function weighFiles(paths: readonly string[]): ApiCommand {
  if (paths.length < 1 || paths.length > FILES_AT_ONCE) {
    throw new SwitchyardError('invalid_request', `${FILES_AT_ONCE} files can be weighed at once.`);
  }
  return { line: `spawn_stream stat -c %s:%n ${paths.map(file).join(' ')}` };
}

/** @returns path → bytes */
export function parseSizes(reply: string): Map<string, number> {
  const lines = reply.split('\n').map((line) => /^(\d+):(.+)$/.exec(line.trim()));
  return new Map(lines.flatMap((match) => (match ? [[match[2]!, Number(match[1])]] : [])));
}

/** Reads the whole file: takes about three seconds a gigabyte, so it is run in the node's background. */
export const hashFile = (path: string): ApiCommand => ({ line: `spawn_stream sha256sum ${file(path)}` });

/** @returns 64 hexadecimal digits, or undefined where there is no such file. */
export const parseHash = (reply: string): string | undefined => /^([0-9a-f]{64})\s/i.exec(reply)?.[1]?.toLowerCase();

/** Prints a file in base64: for small ones, since the whole answer is held in memory on both sides. */
export const printFile = (path: string): ApiCommand => ({ line: `spawn_stream base64 -w0 ${file(path)}` });

/** @returns undefined where it is not base64: there is no such file, or nothing in it */
export function parsePrinted(reply: string): Buffer | undefined {
  const text = reply.replace(/\s+/g, '');
  const isBase64 = text.length > 0 && text.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text);
  return isBase64 ? Buffer.from(text, 'base64') : undefined;
}

const TEMP_FOLDER = '/tmp';

/** @param reply to `readGlobal('temp_dir')`; a node that names no plain folder is taken to have the usual one */
export function parseTempFolder(reply: string): string {
  const folder = reply.trim();
  return /^\/[A-Za-z0-9/_.-]+$/.test(folder) ? folder : TEMP_FOLDER;
}

export const removeFile = (path: string): ApiCommand => ({ line: `spawn_stream rm -f ${file(path)}` });

/** The names in a folder, one a line; parseFolder() reads it. */
export const listFolder = (path: string): ApiCommand => ({ line: `spawn_stream ls -1 ${file(path)}` });

/** @returns names of files; none where there is no such folder */
export const parseFolder = (reply: string): string[] =>
  reply.split('\n').filter((name) => /^[A-Za-z0-9._-]{1,255}$/.test(name) && !name.startsWith('.'));

/** What mod_json_cdr calls a record that it could not send. */
export const isLeftRecord = (name: string): boolean => new RegExp(`^(a_)?${ID_PATTERN}\\.cdr\\.json$`, 'i').test(name);

/** How much room is left where the folder is; parseFreeBytes() reads it. */
export const askFreeSpace = (folder: string): ApiCommand => ({ line: `spawn_stream df -Pk ${file(folder)}` });

/** @returns bytes, or undefined where the answer is no such table. */
export function parseFreeBytes(reply: string): number | undefined {
  const fields = reply.trim().split('\n').at(-1)?.split(/\s+/) ?? [];
  const kilobytes = /^\d+$/.test(fields[1] ?? '') ? Number(fields[3]) : NaN;
  return Number.isFinite(kilobytes) ? kilobytes * 1024 : undefined;
}

/** Whether the node has the program `curl`; many images have not. */
export const askCurl = (): ApiCommand => ({ line: 'spawn_stream curl --version' });

function address(url: string): string {
  if (/^https?:\/\/[A-Za-z0-9.:[\]-]+\/[A-Za-z0-9/_.~?=&-]*$/.test(url)) return url;
  throw new SwitchyardError('invalid_request', "A file can't be sent there.");
}

/** Sends a file by PUT and prints the status; readSent() reads it. Needs the program `curl` on the node. */
export const putFile = (path: string, url: string, timeoutSeconds: number): ApiCommand => ({
  line:
    `spawn_stream curl -s --max-time ${Math.ceil(timeoutSeconds)} --connect-timeout 10 -o /dev/null -w %{http_code} ` +
    `-T ${file(path)} ${address(url)}`,
});

/** Sends a file as a form by POST, with mod_curl alone: nothing else has to be installed. readSent() reads the answer. */
export const postFile = (path: string, url: string): ApiCommand => {
  if (!/^[A-Za-z0-9/_.-]+$/.test(path)) throw new SwitchyardError('invalid_request', "mod_curl can't name this path.");
  return { line: `curl_sendfile ${address(url)} file=${path} nopost none` };
};

/** @returns the HTTP status of an upload; 0 where no connection was made, or none was said. */
export function readSent(reply: string): number {
  const said = /(?:^|[+-])(\d{1,3})(?:\s|$)/.exec(reply.trim());
  return said ? Number(said[1]) : 0;
}
