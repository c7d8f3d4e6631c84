/** Everything that can go wrong with a node's socket has a name, so that callers decide by kind and not by message. */
import { SwitchyardError, type ErrorCode } from '../../../errors';

export type EslErrorKind =
  | 'refused' // nobody listens there
  | 'unreachable' // no route, no such host
  | 'timeout' // it did not answer in time; the socket was destroyed
  | 'auth_failed'
  | 'acl_denied'
  | 'lost' // the connection ended while we waited, or is not there
  | 'bad_reply'; // what came is not the Event Socket's protocol

const CODES: Record<EslErrorKind, ErrorCode> = {
  refused: 'node_unreachable',
  unreachable: 'node_unreachable',
  timeout: 'node_timeout',
  auth_failed: 'node_error',
  acl_denied: 'node_error',
  lost: 'node_unreachable',
  bad_reply: 'node_error',
};

/** A failure of the connection. `sent` tells whether the command may have reached the node: then its outcome is unknown. */
export class EslError extends SwitchyardError {
  readonly kind: EslErrorKind;
  readonly sent: boolean;

  constructor(kind: EslErrorKind, detail: string, options: { cause?: unknown; sent?: boolean } = {}) {
    super(CODES[kind], detail, { cause: options.cause });
    this.name = 'EslError';
    this.kind = kind;
    this.sent = options.sent ?? false;
  }
}

/** Why an open connection is gone. */
export interface ConnectionLost {
  kind: EslErrorKind | 'closed'; // 'closed': we closed it
  detail: string;
}
