/** What a node asks for a phone that logs in: with a proof of its password, since without one it gets no digest. */
import { randomBytes, randomUUID } from 'node:crypto';
import { hashSipPassword } from '../../src/infra/secrets';
import { md5 } from '../../scripts/simulator/phones/directory-user';
import { DOMAIN, passwordOf } from './harness';

export interface LoginQuestion {
  username: string;
  domain?: string;
  password?: string;
  /** In the place of a password: its digest. */
  ha1?: string;
  method?: 'REGISTER' | 'INVITE';
  /** Where the phone signals from. */
  address?: string;
}

export function loginQuestion(o: LoginQuestion): Record<string, string> {
  const { username, domain = DOMAIN, password = passwordOf(username), method = 'INVITE', address = '127.0.0.1' } = o;
  const [nonce, nc, cnonce, qop, uri] = [
    randomUUID(),
    '00000001',
    randomBytes(8).toString('hex'),
    'auth',
    `sip:${domain}`,
  ];
  const ha1 = o.ha1 ?? hashSipPassword(username, domain, password);
  return {
    section: 'directory',
    tag_name: 'domain',
    key_name: 'name',
    key_value: domain,
    action: 'sip_auth',
    sip_auth_method: method,
    sip_auth_username: username,
    sip_auth_realm: domain,
    sip_from_user: username,
    sip_from_host: domain,
    sip_to_user: username,
    sip_to_host: domain,
    sip_auth_nonce: nonce,
    sip_auth_nc: nc,
    sip_auth_cnonce: cnonce,
    sip_auth_qop: qop,
    sip_auth_uri: uri,
    sip_auth_response: md5(`${ha1}:${nonce}:${nc}:${cnonce}:${qop}:${md5(`${method}:${uri}`)}`),
    user: username,
    domain,
    ip: address,
  };
}
