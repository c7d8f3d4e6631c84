/** Says which contacts of a user are rung: none at a node that drains, where the same phone has another one elsewhere. Pure. */

export interface KnownContact {
  contact: string;
  network_ip: string;
  user_agent: string;
  grant_id: string | null;
  node_state: string;
}

/** User and host of a contact, without port and parameters: a phone that moves opens a new socket. */
function addressOf(contact: string): string {
  const uri = /<([^>]*)>/.exec(contact)?.[1] ?? contact;
  return /^sips?:((?:[^@;>]*@)?(?:\[[^\]]*\]|[^:;>?]*))/i.exec(uri)?.[1]?.toLowerCase() ?? uri;
}

/**
 * Whether two contacts of one user are one phone. A grant is one page. Of telephones nobody says so: the same address by
 * its own word, at the same network, of the same make. Where that is not sure both are rung: twice is better than never.
 */
export function isSamePhone(a: KnownContact, b: KnownContact): boolean {
  if (a.grant_id !== null || b.grant_id !== null) return a.grant_id === b.grant_id;
  return (
    a.network_ip === b.network_ip && a.user_agent === b.user_agent && addressOf(a.contact) === addressOf(b.contact)
  );
}

/** A phone that has nothing but its contact at the draining node is rung there: a patient must reach a doctor. */
export function selectRingable<Contact extends KnownContact>(contacts: readonly Contact[]): Contact[] {
  const staying = contacts.filter((one) => one.node_state !== 'draining');
  if (staying.length === contacts.length) return [...contacts];
  return contacts.filter((one) => one.node_state !== 'draining' || !staying.some((other) => isSamePhone(one, other)));
}
