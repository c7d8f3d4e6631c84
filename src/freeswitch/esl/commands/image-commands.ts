/** Commands that show an image in a room: fetched by the node itself, laid behind or over what it mixes. */
import { SwitchyardError } from '../../../errors';
import type { ApiCommand } from './commands';
import { assertToken } from '../escape';

function ownPath(path: string): string {
  if (/^\/[A-Za-z0-9/_.-]{1,400}$/.test(path)) return path;
  throw new SwitchyardError('node_error', 'The node has no folder for images.');
}

function address(url: string): string {
  if (/^https?:\/\/[A-Za-z0-9.:[\]-]+\/[A-Za-z0-9/_.~?=&-]*$/.test(url)) return url;
  throw new SwitchyardError('node_error', 'The node says of Switchyard what is no address.');
}

/** Fetches a file with the program `curl`, or with `wget` (busybox has one), without a shell. Neither prints anything. */
export function fetchFile(program: 'curl' | 'wget', url: string, path: string, timeoutSeconds: number): ApiCommand {
  const seconds = Math.ceil(timeoutSeconds);
  return {
    line:
      program === 'curl'
        ? `spawn_stream curl -s -f --max-time ${seconds} --connect-timeout 5 -o ${ownPath(path)} ${address(url)}`
        : `spawn_stream wget -q -T ${seconds} -O ${ownPath(path)} ${address(url)}`,
  };
}

/** In one step, so that a room that is just reading the file gets the old or the new one, and no half. */
export const replaceFile = (from: string, to: string): ApiCommand => ({
  line: `spawn_stream mv -f ${ownPath(from)} ${ownPath(to)}`,
});

/**
 * Lays an image behind the tiles, fitted into the canvas. 1.10.12 reads PNG and nothing else, and forgets it when the
 * layout changes, also when a group of layouts grows by itself, unless the layout has its own (`bgimg`).
 *
 * There is a `vid-fgimg` for an image over all, too. It is not used: what it had before is freed by the command's
 * thread while the mixer's reads it with every frame, and that ended a node (1.10.12; 122 changes were enough). The
 * mixer changes layouts by itself, so a layout with an image over all (`fgimg`) is taken in its place.
 */
export const showBackground = (sessionId: string, path: string): ApiCommand => ({
  line: `conference ${assertToken(sessionId, 'sessionId')} vid-bgimg ${ownPath(path)}`,
});

/**
 * Takes the background away. `clear` alone wipes the canvas once and keeps the image, which comes back later
 * (1.10.12); naming a file that is not there makes the node forget it. Both answer `-ERR` where they have worked.
 */
export const hideBackground = (sessionId: string, path: string): ApiCommand[] => [
  showBackground(sessionId, `${path}.none`),
  { line: `conference ${assertToken(sessionId, 'sessionId')} vid-bgimg clear` },
];
