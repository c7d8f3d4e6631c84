/** Which addresses are no public machine's: the written list, from IANA's special-purpose registries. */
import { isIP } from 'node:net';
import { listNetworks } from '../../../address';

/**
 * Every IPv4 block of https://www.iana.org/assignments/iana-ipv4-special-registry, those that are reachable
 * from everywhere among them: nobody takes streams there. And multicast.
 */
const SPECIAL_IPV4 = [
  '0.0.0.0/8', // this network
  '10.0.0.0/8', // private
  '100.64.0.0/10', // shared by customers of one provider
  '127.0.0.0/8', // loopback
  '169.254.0.0/16', // link-local, cloud metadata among them
  '172.16.0.0/12', // private
  '192.0.0.0/24', // IETF protocol assignments, with all inside of it
  '192.0.2.0/24', // documentation
  '192.31.196.0/24', // AS112
  '192.52.193.0/24', // AMT
  '192.88.99.0/24', // 6to4 relays
  '192.168.0.0/16', // private
  '192.175.48.0/24', // AS112
  '198.18.0.0/15', // benchmarks
  '198.51.100.0/24', // documentation
  '203.0.113.0/24', // documentation
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, and broadcast
];

/**
 * The only part of IPv6 from which IANA gives out public addresses (iana-ipv6-address-space). What lies outside is not
 * listed, and is refused all the same: ::, ::1, ::/96, ::ffff:0:0/96 and ::ffff:0:0:0/96 (IPv4 in disguise),
 * 64:ff9b::/96 and 64:ff9b:1::/48 (translators), 100::/64 and 100:0:0:1::/64 (discard, dummy), 5f00::/16 (segment
 * routing), fc00::/7, fe80::/10, fec0::/10, ff00::/8 and whatever is set apart next.
 */
const PUBLIC_IPV6 = '2000::/3';
/** Every block of https://www.iana.org/assignments/iana-ipv6-special-registry that lies inside of it. */
const SPECIAL_IPV6 = [
  '2001::/23', // IETF protocol assignments: Teredo, benchmarks, ORCHID, drone ids and all else inside of it
  '2001:db8::/32', // documentation
  '2002::/16', // 6to4: an IPv4 address in disguise
  '2620:4f:8000::/48', // AS112
  '3fff::/20', // documentation
];

const specialIpv4 = listNetworks(SPECIAL_IPV4);
const publicIpv6 = listNetworks([PUBLIC_IPV6]);
const specialIpv6 = listNetworks(SPECIAL_IPV6);

/** True where an address is a public machine's, as far as its number tells. What is no address is not public. */
export function isPublicAddress(address: string): boolean {
  const version = isIP(address);
  if (version === 4) return !specialIpv4.check(address, 'ipv4');
  return version === 6 && publicIpv6.check(address, 'ipv6') && !specialIpv6.check(address, 'ipv6');
}
