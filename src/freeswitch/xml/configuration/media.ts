/** What the codec and recording modules are told; most of it their own defaults, said so that they don't complain. */
import { element, params, type Element } from '../document';
import type { NodeSettings } from './settings';

/** In-band error correction and a bitrate that survives a bad network. */
export function opusConf(_node: NodeSettings): Element[] {
  return [
    params({
      'use-vbr': true,
      'use-dtx': false,
      complexity: 7,
      'packet-loss-percent': 10,
      'keep-fec-enabled': true,
      maxaveragebitrate: 40000,
      maxplaybackrate: 48000,
      'sprop-maxcapturerate': 48000,
    }),
  ];
}

export function vpxConf(_node: NodeSettings): Element[] {
  return [
    params({ 'max-bitrate': '5mb', 'dec-threads': 1, 'enc-threads': 2 }),
    element('profiles', {}, [element('profile', { name: 'vp8' }), element('profile', { name: 'vp9' })]),
  ];
}

export function avcodecConf(_node: NodeSettings): Element[] {
  const profiles = ['H263', 'H263+', 'H264', 'H265'];
  return [
    params({ 'max-bitrate': '5mb', 'dec-threads': 1, 'enc-threads': 'cpu/2/4' }),
    element(
      'profiles',
      {},
      profiles.map((name) => element('profile', { name })),
    ),
  ];
}

export function avformatConf(_node: NodeSettings): Element[] {
  return [params({ colorspace: 1 })];
}
