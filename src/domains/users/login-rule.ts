/** Decides whether a login may do what a node asks its password for: the list of SIP doors, for one question. */
import { provesPassword, type UserRequest } from '../../freeswitch/xml';
import type { DirectoryUser } from './directory';

/** Why a password is not given out; each is said in the log and nowhere else, since a stranger learns nothing. */
export const LOGIN_REFUSALS = {
  no_such_user: 'there is no such user; capitals count at a login, since its digest is over the name',
  disabled: 'the user is disabled',
  unreadable: 'the digest of the password can not be opened: give the user a new password',
  method_closed: 'nobody shows a password for that SIP method',
  other_name: 'From, To, user name and realm of a REGISTER are not one',
  wrong_password: 'the password is not the right one',
  other_spelling:
    'the phone writes its domain in other capitals, and its digest is over what it writes: give it the domain in small letters',
  may_not_register: 'a grant for a room calls, and is not called: it registers nothing',
} as const;

export type LoginRefusal = keyof typeof LOGIN_REFUSALS;

/** The methods for which a node may ask for a password. */
const METHODS: readonly string[] = ['REGISTER', 'INVITE'];

const isSame = (host: string | undefined, domain: string): boolean => host?.toLowerCase() === domain.toLowerCase();

/**
 * FreeSWITCH checks the digest over user name and realm, and books the registration under the REGISTER's To, whatever
 * host that names (sofia_reg.c: `reg_host`); its event tells From as well. So all of them must be the same.
 */
function namesOneUser(question: UserRequest): boolean {
  const { username, domain, from, to } = question;
  return (
    question.authUsername === username &&
    isSame(question.realm, domain) &&
    from?.user === username &&
    to?.user === username &&
    isSame(from.host, domain) &&
    isSame(to.host, domain)
  );
}

/**
 * A node is given the digest of a password only for a phone that has just proved it there. So a node that somebody has
 * broken into learns those of the people who log in at it, and can't go through the list of users for the rest.
 * @returns why the login may not do it; undefined where it may
 */
export function judgeLogin(question: UserRequest, user: DirectoryUser | undefined): LoginRefusal | undefined {
  if (question.purpose === 'other') return 'method_closed';
  if (question.purpose === 'sip_auth') {
    if (!METHODS.includes(question.sipMethod ?? '')) return 'method_closed';
    if (question.sipMethod === 'REGISTER' && !namesOneUser(question)) return 'other_name';
  }
  if (!user) return 'no_such_user';
  if (!user.enabled) return 'disabled';
  if (user.ha1 === null) return 'unreadable';
  if (question.sipMethod === 'REGISTER' && !user.mayRegister) return 'may_not_register';
  if (question.purpose === 'sip_auth' && !(question.proof && provesPassword(question.proof, user.ha1)))
    return question.realm === user.domain ? 'wrong_password' : 'other_spelling';
  return undefined;
}
