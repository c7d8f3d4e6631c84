/**
 * Where a phone asks for its sound and video, held against where it signals from.
 *
 * What FreeSWITCH 1.10.12 does by itself (seen on a real node, and in its source):
 * - It sends to whatever address stands in `c=`, so three SIP messages aim a stream at anybody. No parameter of mod_sofia
 *   and no list of networks bounds that.
 * - Until a plain phone has sent, it follows whoever sends ten packets to its port (rtp auto-adjust in switch_rtp.c),
 *   whatever address they come from: a stranger who sends to all ports hears the call. `disable_rtp_auto_adjust` on the
 *   channel, set before it is answered, makes it take packets from the address and port of the SDP alone.
 * - With DTLS it sends no media before the handshake with the phone's own fingerprint is done (rtp_common_write), and
 *   ICE finds the address: those are left as they are.
 */
import { isInList, listNetworks, readAddress } from '../../../address';

/**
 * - `encrypted`: ICE and DTLS see to it.
 * - `own`: all of it goes where the phone signals from, so nothing needs to be followed.
 * - `translated`: the phone is behind NAT and names its inner address, so auto-adjust has to stay. Such a phone can be
 *   taken over until its first packet is there, and its media goes to the inner address that it named until then.
 * - `foreign`: it would go to somebody else.
 */
export type MediaJudgement = 'encrypted' | 'own' | 'translated' | 'foreign';

/** Addresses that no other network can be reached at: RFC 1918, CGNAT (RFC 6598), link-local, and the same of IPv6. */
const INNER = listNetworks([
  ...['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '169.254.0.0/16'],
  ...['fc00::/7', 'fe80::/10'],
]);

/** A browser puts calls on hold, and says that ICE will find the address, with these. */
const NOWHERE: readonly string[] = ['0.0.0.0', '::'];

/** @param sdp the offer @param networkIp where it came from @param allowed networks to which media may go all the same */
export function judgeMedia(sdp: string, networkIp: string, allowed: readonly string[] = []): MediaJudgement {
  const { session, media } = sectionsOf(sdp);
  const plain = media.filter((section) => !isEncrypted(session, section));
  if (media.length > 0 && plain.length === 0) return 'encrypted';
  const addresses = [session, ...plain].flatMap(addressesOf);
  const [own, open] = [listNetworks([networkIp]), listNetworks(allowed)];
  const others = addresses.filter(
    (address) => !NOWHERE.includes(readAddress(address) ?? '') && !isInList(own, address),
  );
  // An operator's word for an address lets its phones send from a port that they did not name.
  if (others.length === 0) return addresses.some((address) => isInList(open, address)) ? 'translated' : 'own';
  return others.every((address) => isInList(INNER, address) || isInList(open, address)) ? 'translated' : 'foreign';
}

/** Lines may end in CR, LF or both, as mod_sofia's parser reads them. */
function sectionsOf(sdp: string): { session: string[]; media: string[][] } {
  const session: string[] = [];
  const media: string[][] = [];
  for (const line of sdp.split(/[\r\n]+/).map((text) => text.trim())) {
    if (line.startsWith('m=')) media.push([]);
    (media.at(-1) ?? session).push(line);
  }
  return { session, media };
}

/** A browser's: the profile with feedback, a fingerprint for DTLS, and ICE. */
function isEncrypted(session: readonly string[], section: readonly string[]): boolean {
  const has = (start: string): boolean => [...section, ...session].some((line) => line.startsWith(start));
  return /^m=\S+ \S+ (UDP\/TLS\/)?RTP\/SAVPF /.test(section[0]!) && has('a=fingerprint:') && has('a=ice-ufrag:');
}

/** Of candidates too: without DTLS FreeSWITCH would send to the one that it chose. What is no address stays as it is. */
function addressesOf(lines: readonly string[]): string[] {
  return lines.flatMap((line) => {
    if (/^c\s*=/i.test(line)) return [line.split(/\s+/)[2]?.split('/')[0] ?? ''];
    return /^a=candidate:/i.test(line) ? [line.split(/\s+/)[4] ?? ''] : [];
  });
}
