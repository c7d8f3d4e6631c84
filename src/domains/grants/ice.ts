/** The ICE servers of a grant: coturn credentials that end by themselves and need no account at coturn. */
import { createHmac } from 'node:crypto';

export interface IceSettings {
  /** `turn:host:port?transport=udp` … */
  turnUrls: readonly string[];
  /** coturn's `static-auth-secret`. */
  turnSecret: string | undefined;
  /** `stun:host:port` … */
  stunUrls: readonly string[];
}

/** As RTCPeerConnection takes it. */
export interface IceServer {
  urls: string[];
  username?: string;
  credential?: string;
}

/**
 * coturn with `use-auth-secret` takes "<unix seconds>:<anything>" as a username until that time, with the HMAC-SHA1 of
 * it under the shared secret as its password. An allocation that exists at that time lives on.
 */
export function iceServersFor(settings: IceSettings, grantId: string, expiresAt: Date): IceServer[] {
  const servers: IceServer[] = [];
  if (settings.stunUrls.length > 0) servers.push({ urls: [...settings.stunUrls] });
  if (settings.turnUrls.length > 0 && settings.turnSecret !== undefined) {
    const username = `${Math.floor(expiresAt.getTime() / 1000)}:${grantId}`;
    const credential = createHmac('sha1', settings.turnSecret).update(username).digest('base64');
    servers.push({ urls: [...settings.turnUrls], username, credential });
  }
  return servers;
}
