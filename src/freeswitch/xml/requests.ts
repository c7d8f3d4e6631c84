/** Turns a node's form fields into one typed question, so that nothing above reads FreeSWITCH's field names. */
import { isId } from '../../infra/ids';
import { sessionOfLayouts } from './configuration/layouts';
import { ATTEMPT_VARIABLE } from './dialplan';
import { readLoginProof, type LoginProof } from './login-proof';

/** Who asks: the node's own words about itself. */
interface AskedBy {
  /** The node's switchname. */
  nodeName: string;
  coreUuid?: string;
}

/** A user is looked up: to check a password (`sip_auth`) or to be called (`user_call`). */
export interface UserRequest extends AskedBy {
  kind: 'user';
  purpose: 'sip_auth' | 'user_call' | 'other';
  username: string;
  domain: string;
  /** REGISTER, INVITE … where a password is checked. */
  sipMethod?: string;
  /** Who the digest is over. */
  authUsername?: string;
  realm?: string;
  /** What the request's own headers say: a phone writes there what it likes. */
  from?: SipName;
  to?: SipName;
  profile?: string;
  networkIp?: string;
  networkPort?: number;
  userAgent?: string;
  /** What the phone showed, where its password is checked. */
  proof?: LoginProof;
  /** Where the call that rings this user carries one. */
  callId?: string;
  legRole?: string;
  /** The leg by which this node carries the attempt that is being made; phones' own calls have none. */
  attemptLegId?: string;
}

/** The name in a From or To. */
export interface SipName {
  user: string;
  host: string;
}

/** A SIP profile asks for its gateways. */
export interface GatewaysRequest extends AskedBy {
  kind: 'gateways';
  profile: string;
}

/** A channel asks where to go. */
export interface DialplanRequest extends AskedBy {
  kind: 'dialplan';
  legId: string;
  /** The context it asks in: that of the profile it came in by, or of the transfer. */
  context: string;
  destination: string;
  direction: 'inbound' | 'outbound';
  /** Who it proved to be with a password; never what its From header says. */
  username?: string;
  domain?: string;
  callerName: string;
  callerNumber: string;
  /** Who calls asks not to be shown: by `Privacy: id`, or by a From that is nobody's. Their password says who they are. */
  isHidden: boolean;
  networkIp?: string;
  profile?: string;
  /** The channel's variables, without `variable_` before their names. */
  variables: Record<string, string>;
  /** Set by us on a leg we placed, or named by another node of the pool. */
  callId?: string;
  legRole?: string;
  /** What another node of the pool shows to prove who sent it. */
  token?: string;
  /** Which leg the other node is asking us to deliver. */
  deliveredLeg?: 'from' | 'to';
}

/** A module asks for its configuration. */
export interface ConfigurationRequest extends AskedBy {
  kind: 'configuration';
  name: string;
  /** The room that is about to start or be entered, and, with `conference.conf`, the profile it was asked with. */
  conferenceName?: string;
  profileName?: string;
  legId?: string;
  action?: string;
}

/** Something we don't serve: it gets "not found". */
export interface UnknownRequest extends AskedBy {
  kind: 'unknown';
  section: string;
  purpose: string;
  /** Where a channel asks that does not say which: it must be refused in its own context. */
  context?: string;
}

export type XmlRequest = UserRequest | GatewaysRequest | DialplanRequest | ConfigurationRequest | UnknownRequest;

type Form = Record<string, string | undefined>;

/**
 * A node counts as broken: an id that is none is not looked up. A channel that says none is `unknown`, like anything else
 * that can't be understood; one that only names something else so is read without that.
 */
export function withoutFalseIds(question: XmlRequest): XmlRequest {
  if (question.kind === 'dialplan' && !isId(question.legId)) {
    const { nodeName, context } = question;
    return { kind: 'unknown', nodeName, section: 'dialplan', purpose: '', context };
  }
  const wrong = ID_FIELDS.filter((name) => isFalseId((question as Partial<Record<IdField, string>>)[name]));
  return wrong.length === 0 ? question : { ...question, ...Object.fromEntries(wrong.map((name) => [name, undefined])) };
}

const ID_FIELDS = ['coreUuid', 'callId', 'attemptLegId', 'legId'] as const;
type IdField = (typeof ID_FIELDS)[number];

const isFalseId = (text: string | undefined): boolean => text !== undefined && !isId(text);

/** Never throws: what can't be understood is `unknown`. */
export function parseXmlRequest(form: Record<string, string>): XmlRequest {
  const fields: Form = form;
  const by: AskedBy = {
    nodeName: fields['FreeSWITCH-Switchname'] || fields.hostname || '',
    coreUuid: fields['Core-UUID'] || undefined,
  };
  switch (fields.section) {
    case 'directory':
      return directoryRequest(fields, by);
    case 'dialplan':
      return dialplanRequest(fields, by) ?? unknown(fields, by);
    case 'configuration':
      return configurationRequest(fields, by) ?? unknown(fields, by);
    default:
      return unknown(fields, by);
  }
}

function unknown(fields: Form, by: AskedBy): UnknownRequest {
  const context = fields['Hunt-Context'] || fields['Caller-Context'] || undefined;
  const purpose = fields.purpose ?? fields.action ?? '';
  return { kind: 'unknown', ...by, section: fields.section ?? '', purpose, ...(context ? { context } : {}) };
}

function directoryRequest(fields: Form, by: AskedBy): XmlRequest {
  const domain = fields.domain || (fields.key_name === 'name' ? fields.key_value : '') || '';
  if (fields.user && domain && !fields.purpose) {
    const action = fields.action;
    return {
      kind: 'user',
      ...by,
      purpose: action === 'sip_auth' || action === 'user_call' ? action : 'other',
      username: fields.user,
      domain,
      sipMethod: fields.sip_auth_method || undefined,
      authUsername: fields.sip_auth_username || undefined,
      realm: fields.sip_auth_realm || undefined,
      from: sipName(fields.sip_from_user, fields.sip_from_host),
      to: sipName(fields.sip_to_user, fields.sip_to_host),
      profile: fields.sip_profile || undefined,
      networkIp: fields.ip || undefined,
      networkPort: number(fields.client_port),
      userAgent: fields.sip_user_agent || undefined,
      ...(action === 'sip_auth' ? { proof: readLoginProof(fields) } : {}),
      callId: variable(fields, 'switchyard_call_id'),
      legRole: variable(fields, 'switchyard_leg'),
      attemptLegId: variable(fields, ATTEMPT_VARIABLE),
    };
  }
  if (fields.purpose === 'gateways') return { kind: 'gateways', ...by, profile: fields.profile ?? '' };
  return unknown(fields, by);
}

function dialplanRequest(fields: Form, by: AskedBy): DialplanRequest | undefined {
  const legId = fields['Unique-ID'];
  const context = fields['Hunt-Context'] || fields['Caller-Context'];
  const destination = fields['Hunt-Destination-Number'] ?? fields['Caller-Destination-Number'];
  if (!legId || !context || destination === undefined) return undefined;
  const variables: Record<string, string> = {};
  for (const [key, value] of Object.entries(fields)) {
    if (key.startsWith('variable_') && value !== undefined) variables[key.slice('variable_'.length)] = value;
  }
  const authenticated = variables.sip_authorized === 'true' && variables.user_name && variables.domain_name;
  // A phone can send any header: only what comes in by the nodes' own door is read.
  const header = (name: string): string | undefined =>
    variables.sofia_profile_name === 'internode' ? variables[`sip_h_X-Switchyard-${name}`] || undefined : undefined;
  const delivered = header('Leg');
  return {
    kind: 'dialplan',
    ...by,
    legId,
    context,
    destination,
    direction: fields['Call-Direction'] === 'outbound' ? 'outbound' : 'inbound',
    username: authenticated ? variables.user_name : undefined,
    domain: authenticated ? variables.domain_name : undefined,
    callerName: fields['Caller-Caller-ID-Name'] ?? '',
    callerNumber: fields['Caller-Caller-ID-Number'] ?? '',
    isHidden: asksToBeHidden(fields),
    networkIp: variables.sip_network_ip || fields['Caller-Network-Addr'] || undefined,
    profile: variables.sofia_profile_name || undefined,
    variables,
    callId: variables.switchyard_call_id || header('Call'),
    legRole: variables.switchyard_leg || undefined,
    token: header('Token'),
    deliveredLeg: delivered === 'from' || delivered === 'to' ? delivered : undefined,
  };
}

/** RFC 3323 and 3325, and the older Remote-Party-ID, of which the node makes the two flags. */
function asksToBeHidden(fields: Form): boolean {
  if (fields['Call-Direction'] === 'outbound') return false; // whom we ring writes no From
  const isNobodys =
    fields.variable_sip_from_host?.toLowerCase() === 'anonymous.invalid' ||
    (fields.variable_sip_from_user?.toLowerCase() === 'anonymous' && fields.variable_user_name !== 'anonymous');
  const privacy = (fields.variable_sip_Privacy ?? '').toLowerCase().split(/[^a-z]+/);
  const asks = ['id', 'user', 'header'].some((kind) => privacy.includes(kind));
  const isFlagged = fields['Caller-Privacy-Hide-Number'] === 'true' || fields['Caller-Privacy-Hide-Name'] === 'true';
  return isNobodys || asks || isFlagged;
}

function configurationRequest(fields: Form, by: AskedBy): ConfigurationRequest | undefined {
  const name = fields.key_value;
  if (fields.key_name !== 'name' || !name) return undefined;
  return {
    kind: 'configuration',
    ...by,
    name,
    conferenceName: fields.conference_name || fields['Conf-Name'] || sessionOfLayouts(name),
    profileName: fields.profile_name || fields['Conf-Profile'] || undefined,
    legId: fields['Fetch-Call-UUID'] || undefined,
    action: fields.Action || undefined,
  };
}

function sipName(user: string | undefined, host: string | undefined): SipName | undefined {
  return user && host ? { user, host } : undefined;
}

/** Originate merges a channel's variables into the question bare; a channel's own carry the prefix. */
function variable(fields: Form, name: string): string | undefined {
  return fields[name] || fields[`variable_${name}`] || undefined;
}

function number(text: string | undefined): number | undefined {
  const value = Number(text);
  return text && Number.isInteger(value) ? value : undefined;
}
