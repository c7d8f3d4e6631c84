/** How the ends of a call are kept; what people write is read by dialplan/resolve-address.ts. */
import { SwitchyardError } from '../../errors';
import { DIALLED_NAME, ECHO_NUMBER } from '../../infra/text/dialled-name';

export type Address =
  | { kind: 'user'; username: string }
  | { kind: 'service'; service: 'echo' }
  | { kind: 'room'; name: string }
  | { kind: 'tel'; number: string }
  | { kind: 'sip'; uri: string }
  /** Somebody who came by grant; written by us, never dialled. */
  | { kind: 'guest'; grantId: string };

export const INVALID_ADDRESS =
  'An address is user:NAME, room:NAME, tel:+NUMBER, sip:USER@HOST, USER@HOST, or a name or digits as one would dial them.';

/** @throws invalid_address naming what is wrong with it. */
export function parseAddress(text: string): Address {
  const at = text.indexOf(':');
  const scheme = at < 0 ? '' : text.slice(0, at).toLowerCase();
  const rest = text.slice(at + 1);
  switch (scheme) {
    case '':
      if (text === ECHO_NUMBER) return { kind: 'service', service: 'echo' };
      if (/^\+[0-9]{3,20}$/.test(text)) return { kind: 'tel', number: text };
      if (DIALLED_NAME.test(text)) return { kind: 'user', username: text };
      break;
    case 'user':
      if (DIALLED_NAME.test(rest)) return { kind: 'user', username: rest };
      break;
    case 'room':
      if (DIALLED_NAME.test(rest)) return { kind: 'room', name: rest };
      break;
    case 'tel':
      if (/^\+?[0-9]{3,20}$/.test(rest)) return { kind: 'tel', number: rest };
      break;
    case 'guest':
      if (/^[0-9a-f-]{36}$/.test(rest)) return { kind: 'guest', grantId: rest };
      break;
    case 'sip':
      if (/^[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?$/.test(rest)) return { kind: 'sip', uri: rest };
      break;
  }
  throw new SwitchyardError('invalid_address', INVALID_ADDRESS);
}

/** The canonical way to write it. */
export function formatAddress(address: Address): string {
  switch (address.kind) {
    case 'user':
      return `user:${address.username}`;
    case 'service':
      return ECHO_NUMBER;
    case 'room':
      return `room:${address.name}`;
    case 'tel':
      return `tel:${address.number}`;
    case 'sip':
      return `sip:${address.uri}`;
    case 'guest':
      return `guest:${address.grantId}`;
  }
}
