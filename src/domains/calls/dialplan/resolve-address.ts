/** Turns what somebody wrote or dialled into who it means in a domain: the one border for REST, phones and transfers. */
import { SwitchyardError } from '../../../errors';
import type { Db } from '../../../infra/stores/db';
import { DIALLED_NAME, ECHO_NUMBER } from '../../../infra/text/dialled-name';
import { readTelephoneNumber } from '../../../infra/text/telephone-number';
import { findRoomByName, type RoomRow } from '../../rooms/rooms.store';
import type { Directory, DirectoryUser } from '../../users/directory';
import { INVALID_ADDRESS, parseAddress, type Address } from '../address';

/** Written without a scheme, or as a SIP address of the domain itself: a name or a number, as one would dial it. */
interface Dialled {
  kind: 'dialled';
  text: string;
}

/** user@host, with or without scheme; port and parameters say how to get there, not who is meant. */
const SIP_ADDRESS = /^(?:sips?:)?([^@;?]{1,128})(?:;[^@?]*)?@([A-Za-z0-9.-]{1,253})(?::[0-9]{1,5})?(?:[;?].*)?$/i;
const MAX_TEXT = 512;

/**
 * @param text as it was written: `1001`, `sip:bert@clinic.test`, `bert@clinic.test`, `tel:+49-30-12345`, `+49 (0)30 12345`
 * @throws invalid_address where it is none
 */
export function readAddress(text: string, domain: string): Address | Dialled {
  if (text.length > MAX_TEXT) throw invalid();
  const bare = text.trim().replace(/^<([^<>]*)>$/, '$1');
  if (/^tel:/i.test(bare)) return readTel(bare);
  if (/^(user|room|guest):/i.test(bare)) return parseAddress(bare);
  const sip = SIP_ADDRESS.exec(bare);
  if (sip) {
    const host = sip[2]!.toLowerCase();
    return host === domain.toLowerCase() ? readDialled(unescapeUser(sip[1]!)) : parseAddress(`sip:${sip[1]}@${host}`);
  }
  return readDialled(bare);
}

function readTel(text: string): Address {
  const number = readTelephoneNumber(text);
  if (number === undefined) throw invalid();
  return { kind: 'tel', number };
}

function readDialled(text: string): Dialled {
  if (!DIALLED_NAME.test(text) && readTelephoneNumber(text) === undefined) throw invalid();
  return { kind: 'dialled', text };
}

/** Some phones escape what they need not, a number's `+` first. */
function unescapeUser(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid();
  }
}

const invalid = (): SwitchyardError => new SwitchyardError('invalid_address', INVALID_ADDRESS);

export interface ResolveDeps {
  db: Db;
  directory: Pick<Directory, 'findUser' | 'findByNumber' | 'findByAnySpelling'>;
}

export interface Resolved {
  address: Address;
  /** Where it is a user that there is. */
  user?: DirectoryUser;
  /** Where it is a room that there is. */
  room?: RoomRow;
}

/**
 * A user's name comes first, then a user's number, then a user's name in other capitals, then a room's name. What nobody has stays as it was written.
 * @throws invalid_address where it is no address; unavailable where it can't be known whom it means
 */
export async function resolveAddress(deps: ResolveDeps, text: string, domain: string): Promise<Resolved> {
  const address = readAddress(text, domain);
  switch (address.kind) {
    case 'dialled':
      return resolveDialled(deps, address.text, domain);
    case 'tel':
      return toUser(await deps.directory.findByNumber(address.number, domain)) ?? { address };
    case 'user':
      return toUser(await findUser(deps, address.username, domain)) ?? { address };
    case 'room':
      return toRoom(await findRoomByName(deps.db, domain, address.name)) ?? { address };
    default:
      return { address };
  }
}

async function resolveDialled(deps: ResolveDeps, text: string, domain: string): Promise<Resolved> {
  if (text === ECHO_NUMBER) return { address: { kind: 'service', service: 'echo' } };
  const isName = DIALLED_NAME.test(text);
  const user =
    (isName && (await deps.directory.findUser(text, domain))) || (await deps.directory.findByNumber(text, domain));
  if (user) return toUser(user)!;
  const number = readTelephoneNumber(text);
  if (number?.startsWith('+')) return { address: { kind: 'tel', number } };
  const spelt = isName ? await deps.directory.findByAnySpelling(text, domain) : undefined;
  if (spelt) return toUser(spelt)!;
  const name = isName ? text : number!;
  return toRoom(await findRoomByName(deps.db, domain, name)) ?? { address: { kind: 'user', username: name } };
}

async function findUser(deps: ResolveDeps, name: string, domain: string): Promise<DirectoryUser | undefined> {
  return (await deps.directory.findUser(name, domain)) ?? deps.directory.findByAnySpelling(name, domain);
}

const toUser = (user: DirectoryUser | undefined): Resolved | undefined =>
  user && { address: { kind: 'user', username: user.username }, user };

const toRoom = (room: RoomRow | undefined): Resolved | undefined =>
  room && { address: { kind: 'room', name: room.name }, room };
