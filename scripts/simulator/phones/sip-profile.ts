/** What a simulated node reads from its SIP profiles: whether phones and browsers are turned away (`profile-standby`). */
import type { Element } from '../../../src/freeswitch/xml/document';
import type { NodeContext } from '../node-context';
import { child, childrenOf, pairs } from '../xml-client';

/** As a rescan does it; an answer that is none changes nothing. */
export async function rescanPhoneProfile(node: NodeContext, name = 'internal'): Promise<void> {
  if (name !== 'internal') return;
  loadPhoneProfile(node, await node.configuration('sofia.conf', { profile: name, reconfig: 'true' }));
}

export function loadPhoneProfile(node: NodeContext, section: Element | undefined): void {
  const profiles = childrenOf(child(child(section, 'configuration'), 'profiles'), 'profile');
  const phones = profiles.find((profile) => profile.attributes?.name === 'internal');
  if (phones) node.isStandby = pairs(child(phones, 'settings'), 'param')['profile-standby'] === 'true';
}
