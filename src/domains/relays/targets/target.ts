/** Reads the address a relay is to go to, as its user wrote it. */
import { SwitchyardError } from '../../../errors';
import { isIP } from 'node:net';

/** An RTMP address in its parts. */
export interface Target {
  secure: boolean;
  /** A name, or an address without brackets. */
  host: string;
  port: number;
  /** The application, without a slash at either end. */
  app: string;
  /** How it is shown and told to the server: rtmp(s)://host[:port]/app, without the stream's key. */
  url: string;
}

const APP = /^[A-Za-z0-9._~!$&'()*+,;=:@%-]+(\/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*$/;
const HOST = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/;
/** Printable, without blanks. */
const STREAM_KEY = /^[\x21-\x7e]{1,512}$/;

function refuse(path: string, message: string): never {
  throw new SwitchyardError('unprocessable', `Invalid relay address: ${path} ${message}.`, {
    errors: [{ path, message }],
  });
}

/**
 * Reads an address. Where no key is given apart, the last part of the path is the key, since that is how people write
 * it: so it is never shown.
 * @throws SwitchyardError unprocessable; its text repeats nothing of the address
 */
export function readTarget(text: string, streamKey: string | undefined): { target: Target; streamKey: string } {
  const found = /^(rtmps?):\/\/(\[[0-9a-f:.]+\]|[^/:@?#\s]+)(?::(\d{1,5}))?\/([^?#\s]*)$/i.exec(text);
  if (!/^rtmps?:\/\//i.test(text)) refuse('url', 'must begin with rtmp:// or rtmps://');
  if (!found) refuse('url', 'must be rtmp(s)://host[:port]/app, without user, question mark or blanks');
  const [, scheme, hostText, portText, path] = found;
  const host = hostText!.replace(/^\[|\]$/g, '').toLowerCase();
  if (isIP(host) === 0 && !HOST.test(host)) refuse('url', 'names no host');
  const secure = scheme!.toLowerCase() === 'rtmps';
  const port = portText === undefined ? (secure ? 443 : 1935) : Number(portText);
  if (port < 1 || port > 65_535) refuse('url', 'has a port that does not exist');
  const parts = path!.split('/').filter(Boolean);
  const key = streamKey ?? (parts.length > 1 ? parts.pop() : undefined);
  if (key === undefined) refuse('streamKey', 'is required if the address has only an application');
  if (!STREAM_KEY.test(key)) refuse('streamKey', 'must have 1 to 512 printable characters without blanks');
  const app = parts.join('/');
  if (!APP.test(app) || app.length > 255) refuse('url', 'needs an application: rtmp://host/app');
  const shown = `${isIP(host) === 6 ? `[${host}]` : host}${portText === undefined ? '' : `:${port}`}`;
  return { target: { secure, host, port, app, url: `${secure ? 'rtmps' : 'rtmp'}://${shown}/${app}` }, streamKey: key };
}
