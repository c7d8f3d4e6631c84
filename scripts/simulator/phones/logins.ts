/** How a simulated node checks a password: it challenges, asks the directory with what the phone shows, and tells each step. */
import { randomBytes, randomUUID } from 'node:crypto';
import type { NodeContext } from '../node-context';
import { findUser, md5, type FoundUser } from './directory-user';

export interface Login {
  method: 'REGISTER' | 'INVITE';
  username: string;
  domain: string;
  /** MD5 of `user:realm:password`, as the phone has it; left out: whatever the directory holds is taken as right. */
  ha1?: string;
  /** Where the phone signals from. */
  ip: string;
  port: number;
  sipCallId: string;
  /** Whom the request is for, where that is another than who asks. */
  toUser?: string;
  /** What From and To say, where a phone lies there. */
  from?: { user: string; host: string };
  to?: { user: string; host: string };
}

/** @returns the user, or undefined where the node says 403 */
export async function checkLogin(node: NodeContext, o: Login): Promise<FoundUser | undefined> {
  tell(node, 'sofia::pre_register', o);
  const proof = o.ha1 === undefined ? {} : proofOf(o, o.ha1);
  const user = findUser(
    await node.directory(o.domain, 'sofia_reg_parse_auth', {
      action: 'sip_auth',
      sip_profile: 'internal',
      sip_user_agent: 'Switchyard simulator',
      sip_auth_username: o.username,
      sip_auth_realm: o.domain,
      sip_to_user: o.to?.user ?? o.toUser ?? o.username,
      sip_to_host: o.to?.host ?? o.domain,
      sip_via_protocol: 'udp',
      sip_from_user: o.from?.user ?? o.username,
      sip_from_host: o.from?.host ?? o.domain,
      sip_call_id: o.sipCallId,
      ...proof,
      sip_auth_method: o.method,
      client_port: String(o.port),
      key: 'id',
      user: o.username,
      domain: o.domain,
      ip: o.ip,
    }),
  );
  const expected = user && (user.params['a1-hash'] ?? md5(`${o.username}:${o.domain}:${user.params.password ?? ''}`));
  const isRight = user !== undefined && (o.ha1 ?? expected) === expected;
  tell(node, 'sofia::register_attempt', o, {
    username: o.username,
    realm: o.domain,
    'auth-result': isRight ? 'RENEWED' : 'FORBIDDEN',
  });
  if (isRight) return user;
  node.emit(
    'CUSTOM',
    'sofia_reg.c',
    'sofia_reg_handle_register_token',
    () => ({
      'profile-name': 'internal',
      'to-user': o.toUser ?? o.username,
      'to-host': o.domain,
      'network-ip': o.ip,
      'user-agent': 'Switchyard simulator',
      'network-port': String(o.port),
      'registration-type': o.method,
    }),
    'sofia::register_failure',
  );
  return undefined;
}

/** As a phone answers a challenge with `qop=auth`. */
function proofOf(o: Login, ha1: string): Record<string, string> {
  const nonce = randomUUID();
  const [nc, cnonce, qop] = ['00000001', randomBytes(8).toString('hex'), 'auth'];
  const uri = o.toUser === undefined ? `sip:${o.domain}` : `sip:${o.toUser}@${o.domain}`;
  return {
    sip_auth_nonce: nonce,
    sip_auth_uri: uri,
    sip_auth_qop: qop,
    sip_auth_cnonce: cnonce,
    sip_auth_nc: nc,
    sip_auth_response: md5(`${ha1}:${nonce}:${nc}:${cnonce}:${qop}:${md5(`${o.method}:${uri}`)}`),
  };
}

function tell(node: NodeContext, subclass: string, o: Login, more: Record<string, string> = {}): void {
  node.emit(
    'CUSTOM',
    'sofia_reg.c',
    'sofia_reg_handle_register_token',
    () => ({
      'profile-name': 'internal',
      'from-user': o.toUser ?? o.username,
      'from-host': o.domain,
      'call-id': o.sipCallId,
      rpid: 'unknown',
      status: 'Registered(UDP)',
      'to-user': o.username,
      'to-host': o.domain,
      'network-ip': o.ip,
      'network-port': String(o.port),
      'user-agent': 'Switchyard simulator',
      ...more,
    }),
    subclass,
  );
}
