/** Answers about users: what a node needs to check a password, and where a user can be reached at this moment. */
import { SwitchyardError } from '../../errors';
import { hostAndPort } from '../../address';
import { contactToDial, type ContactSource } from './contact';
import { documentXml, element, param, type Element } from './document';
import {
  addressPart,
  attribute,
  callerNameText,
  escapeText,
  hidePreprocessor,
  isAddressPart,
  isHostPart,
  isPlainValue,
} from './escape';
import { kindOfTransport, mediaTimeoutVariables, type MediaTimeouts } from './media-timeout';
import { USERS_CONTEXT } from '../contexts';

/** FreeSWITCH's word for "not here". It would look on disk next, where there is no directory and no dialplan. */
export function notFoundXml(): string {
  return NOT_FOUND;
}

const NOT_FOUND =
  '<document type="freeswitch/xml"><section name="result"><result status="not found"/></section></document>';

export interface UserAnswer {
  /** Whose legs these are, also where they log in by a grant; a guest's are nobody's. */
  userId?: string | null;
  domain: string;
  username: string;
  /**
   * MD5 of user:realm:password in hex, the realm being the domain. Needed for a login and for nothing else: beside a dial
   * string it is left out, since whoever rings somebody has no business with their password.
   */
  ha1?: string;
  displayName: string;
  callerNumber: string;
  /** Where a call to this user goes; made by dialStringTo(). */
  dialString?: string;
  /** A login registers for so long, whatever it asks for. */
  expiresSeconds?: number;
}

/**
 * A channel that a login opens carries this from the directory, and every dialplan answer takes it back (see
 * dialplanXml). So a channel that no plan of ours let in ends as soon as it is answered: an INVITE with `Replaces` or an
 * appearance-index skips the dialplan and answers by itself (sofia_handle_sip_i_invite_replaces), and no setting of
 * mod_sofia forbids that. Not given with a dial string: the leg that rings a user would carry it, and has no plan.
 */
export const ANSWER_GUARD = { name: 'execute_on_answer', value: 'hangup CALL_REJECTED' } as const;

/** Read by mod_sofia from a user's variables (sofia_reg_handle_register_token). */
const FORCED_EXPIRES = 'sip-force-expires';

/**
 * The answer to a directory question, which a node must not cache: it keeps one answer for logins and calls, and its key is user
 * and domain without anything between (bo@bb.test and bob@b.test are one to it). To a login the digest, to a call the dial string, never both. It is made from a template, because a SIP profile checks passwords one after
 * the other: 1.4 µs against 40 to 50 µs by the document builder; a test holds both to the same bytes.
 * @throws SwitchyardError where a login's hash is not one: FreeSWITCH lets a user in who has no params at all
 */
export function userXml(user: UserAnswer): string {
  const u = checked(user);
  const isCall = u.dialString !== undefined;
  const key = isCall
    ? `<param name="dial-string" value="${attribute(u.dialString!)}"/>`
    : `<param name="a1-hash" value="${u.ha1}"/>`;
  return hidePreprocessor(
    `<document type="freeswitch/xml"><section name="directory"><domain name="${u.domain}"><user id="${u.username}">` +
      `<params>${key}</params><variables>` +
      `<variable name="user_context" value="${USERS_CONTEXT}"/>${isCall ? '' : GUARD + ofUser(u)}${expiresVariable(u)}` +
      `<variable name="effective_caller_id_name" value="${attribute(u.displayName)}"/>` +
      `<variable name="effective_caller_id_number" value="${attribute(u.callerNumber)}"/>` +
      `</variables></user></domain></section></document>`,
  );
}

const expiresVariable = ({ expiresSeconds }: UserAnswer): string =>
  expiresSeconds === undefined ? '' : `<variable name="${FORCED_EXPIRES}" value="${Math.floor(expiresSeconds)}"/>`;

/** A leg that rings them has it from its dial string. */
const ofUser = ({ userId }: UserAnswer): string =>
  isOwner(userId) ? `<variable name="${USER_VARIABLE}" value="${userId}"/>` : '';

const isOwner = (userId: string | null | undefined): userId is string =>
  userId !== null && userId !== undefined && isPlainValue(userId);

const GUARD = `<variable name="${ANSWER_GUARD.name}" value="${ANSWER_GUARD.value}"/>`;

/** The same by the document builder: what the template is held to. @internal */
export function userXmlByBuilder(user: UserAnswer): string {
  const u = checked(user);
  const key = u.dialString === undefined ? param('a1-hash', u.ha1 ?? '') : param('dial-string', u.dialString);
  const variable = (name: string, value: string): Element => element('variable', { name, value });
  return documentXml('directory', [
    element('domain', { name: u.domain }, [
      element('user', { id: u.username }, [
        element('params', {}, [key]),
        element('variables', {}, [
          variable('user_context', USERS_CONTEXT),
          ...(u.dialString === undefined ? [variable(ANSWER_GUARD.name, ANSWER_GUARD.value)] : []),
          ...(u.dialString === undefined && isOwner(u.userId) ? [variable(USER_VARIABLE, u.userId)] : []),
          ...(u.expiresSeconds === undefined ? [] : [variable(FORCED_EXPIRES, String(Math.floor(u.expiresSeconds)))]),
          variable('effective_caller_id_name', u.displayName),
          variable('effective_caller_id_number', u.callerNumber),
        ]),
      ]),
    ]),
  ]);
}

function checked(user: UserAnswer): UserAnswer {
  const isCall = user.dialString !== undefined;
  if (!isCall && !/^[0-9a-f]{32}$/i.test(user.ha1 ?? ''))
    throw new SwitchyardError('internal', 'A user has no digest hash.');
  return {
    ...user,
    username: addressPart(user.username, 'The user name'),
    domain: addressPart(user.domain, 'The domain'),
    displayName: callerNameText(user.displayName),
    callerNumber: escapeText(user.callerNumber),
  };
}

/** One registration, wherever in the pool it is. */
export interface ReachableContact {
  /** The node it is registered at. */
  node: string;
  host: string;
  internodePort: number;
  /** As sofia::register told it, with or without name and angle brackets: what the phone wrote. */
  contact: string;
  /** From where it registered: the only place it is rung at. */
  source: ContactSource;
  profile: string;
  /** Its id: the leg that rings it carries it, and tells by its end whether anybody is there. */
  registrationId?: string;
  /** The grant it was registered with: the leg that rings it carries it, and ends with it. */
  grantId?: string;
}

export interface DialStringOptions {
  userId?: string;
  username: string;
  domain: string;
  /** The node that will dial. */
  thisNode: string;
  contacts: ReachableContact[];
  /** Proof for another node that this pool sent the call. */
  token: (node: string) => string;
  callId: string;
  /** For every branch after the first: the first may carry the uuid that originate was given. */
  createId: () => string;
  /** Which leg of the call this reaches; the other node gives its own leg that role. */
  leg?: 'from' | 'to';
  /** How long the phones that are rung may be silent once they talk; as the profile says where it is left out. */
  mediaTimeouts?: MediaTimeouts;
}

/** Where a node finds the call's id in a leg that another node has handed over. */
export const CALL_HEADER_VARIABLE = 'sip_h_X-Switchyard-Call';

/** What a dial string is where nobody can be reached: the call ends with USER_NOT_REGISTERED. */
export const NOT_REGISTERED = 'error/user_not_registered';

/**
 * Where to send a call to a user. Contacts of this node are written out one by one, and not left to sofia_contact:
 * a phone chooses its contact, a comma in it is legal, and FreeSWITCH would dial what stands behind the comma.
 * Contacts that can't be dialled are left out (contact.ts). Another node is asked once.
 */
export function dialStringTo(o: DialStringOptions): string {
  const branches: { variables: string[]; endpoint: string }[] = [];
  const askedNodes = new Set<string>();
  for (const contact of o.contacts) {
    if (contact.node === o.thisNode) {
      const uri = contactToDial(contact.contact, contact.source);
      if (uri && isAddressPart(contact.profile))
        branches.push({ variables: ownVariables(o, contact), endpoint: `sofia/${contact.profile}/${uri}` });
      continue;
    }
    if (askedNodes.has(contact.node)) continue;
    const branch = internodeBranch(o, contact);
    if (!branch) continue;
    askedNodes.add(contact.node);
    branches.push(branch);
  }
  if (branches.length === 0) return NOT_REGISTERED;
  return branches
    .map(({ variables, endpoint }, index) => {
      const all = index === 0 ? variables : [`origination_uuid=${o.createId()}`, ...variables];
      return all.length > 0 ? `[${all.join(',')}]${endpoint}` : endpoint;
    })
    .join(',');
}

/** The channel variable by which all legs of a user are found, whoever knows of them. */
export const USER_VARIABLE = 'switchyard_user';

/** The channel variable by which the legs to a grant's phones are found. */
export const GRANT_VARIABLE = 'switchyard_grant';

/** The channel variable that says which registration a leg rings. */
const REGISTRATION_VARIABLE = 'switchyard_registration';

function ownVariables(o: DialStringOptions, contact: ReachableContact): string[] {
  const { mediaTimeouts } = o;
  const kind = kindOfTransport(contact.source.transport);
  const owner = isOwner(o.userId) ? [`${USER_VARIABLE}=${o.userId}`] : [];
  return [...owner, ...contactVariables(contact), ...(mediaTimeouts ? mediaTimeoutVariables(kind, mediaTimeouts) : [])];
}

function contactVariables({ registrationId, grantId }: ReachableContact): string[] {
  const named = [
    [REGISTRATION_VARIABLE, registrationId],
    [GRANT_VARIABLE, grantId],
  ] as const;
  return named.flatMap(([name, id]) => (id !== undefined && isPlainValue(id) ? [`${name}=${id}`] : []));
}

function internodeBranch(
  o: DialStringOptions,
  to: ReachableContact,
): { variables: string[]; endpoint: string } | undefined {
  const token = o.token(to.node);
  if (!isAddressPart(o.username) || !isHostPart(to.host) || !isPlainValue(token) || !isPlainValue(o.callId))
    return undefined;
  return {
    variables: [
      'switchyard_leg=transit',
      `sip_h_X-Switchyard-Token=${token}`,
      `${CALL_HEADER_VARIABLE}=${o.callId}`,
      `sip_h_X-Switchyard-Leg=${o.leg ?? 'to'}`,
    ],
    endpoint: `sofia/internode/${o.username}@${hostAndPort(to.host, to.internodePort)}`,
  };
}
