/** The one table of error codes, so that a code means the same in every answer, log and document. */

/** code → HTTP status, and what the reader can do about it. Codes are stable: they are part of the API. */
export const ERROR_CODES = {
  invalid_request: { status: 400, title: 'The request is not valid', fix: 'Correct the fields named in "errors".' },
  invalid_json: { status: 400, title: 'The body is not valid JSON', fix: 'Send one JSON object, encoded as UTF-8.' },
  invalid_cursor: { status: 400, title: 'The cursor is not valid', fix: 'Use "nextCursor" from a list response.' },
  invalid_address: {
    status: 400,
    title: "This address can't be called",
    fix: 'Use user:NAME, room:NAME, tel:+NUMBER, sip:USER@HOST or digits.',
  },
  unauthorized: { status: 401, title: 'Missing or invalid API key', fix: 'Send "Authorization: Bearer API_KEY".' },
  forbidden: {
    status: 403,
    title: 'This key lacks the required scope',
    fix: 'Use a key with the scope named in "detail".',
  },
  node_pending: {
    status: 403,
    title: 'The node waits for approval',
    fix: 'Approve it with POST /v1/nodes/{id}/approve, or ./scripts/pool approve NAME.',
  },
  not_found: { status: 404, title: 'Not found', fix: 'Check the id, and that your key can see its domain.' },
  method_not_allowed: { status: 405, title: 'Method not allowed', fix: 'See "Allow" for the methods of this path.' },
  request_timeout: { status: 408, title: 'The request arrived too slowly', fix: 'Send the whole body without pauses.' },
  conflict: {
    status: 409,
    title: 'Conflicts with the current state',
    fix: 'See "detail": read the resource, then send a request that fits its state.',
  },
  feature_missing: {
    status: 409,
    title: 'The media node lacks a module for this',
    fix: 'Load the named module on the named node, or request something else; see "lacks" in GET /v1/nodes.',
  },
  idempotency_mismatch: {
    status: 409,
    title: 'This Idempotency-Key was used with a different request',
    fix: 'Use a new Idempotency-Key for a new request.',
  },
  idempotency_in_progress: {
    status: 409,
    title: 'A request with this Idempotency-Key is still in progress',
    fix: 'Retry in a second.',
  },
  gone: {
    status: 410,
    title: 'No longer available',
    fix: 'Create a new one: this one has ended, expired or was deleted.',
  },
  payload_too_large: {
    status: 413,
    title: 'The request body is too large',
    fix: 'Stay below the limit named in "detail".',
  },
  unsupported_media_type: {
    status: 415,
    title: 'Unsupported content type',
    fix: 'Send "Content-Type: application/json".',
  },
  unprocessable: {
    status: 422,
    title: "The request can't be processed",
    fix: 'Fix what "detail" names, then send it again.',
  },
  rate_limited: {
    status: 429,
    title: 'Too many requests',
    fix: 'Wait for the number of seconds in "Retry-After", then retry.',
  },
  quota_exceeded: {
    status: 429,
    title: "The domain's quota is used up",
    fix: 'Use less of what "quota" names, or wait for "Retry-After". An admin key can raise it with PUT /v1/quotas/{domain}.',
  },
  internal: { status: 500, title: 'Internal error', fix: 'Retry. If it persists, report "requestId".' },
  no_capacity: {
    status: 503,
    title: 'No media node has capacity for this',
    fix: 'Retry in a few seconds. GET /v1/pool shows whether nodes are full (add some) or not serving (its "reason" says why).',
  },
  node_error: {
    status: 502,
    title: 'The media node refused the command',
    fix: 'See "detail" for the node\'s reason, then retry.',
  },
  unavailable: { status: 503, title: 'A database is temporarily unavailable', fix: 'Retry in a few seconds.' },
  node_unreachable: { status: 503, title: "The media node can't be reached", fix: 'Retry in a few seconds.' },
  node_timeout: {
    status: 504,
    title: 'The media node did not answer in time',
    fix: 'The command may have been carried out: read the resource before you retry.',
  },
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** One fault in one field of the input. `path` is dotted ("video.fps"). */
export interface FieldFault {
  path: string;
  message: string;
}

/** Which quota stood in the way, and how much of it is used. */
export interface QuotaFault {
  quota: string;
  limit: number;
  used: number;
}

/** Without a list of fields there is nothing in "errors" to correct. */
const defaultFix = (code: ErrorCode, errors: readonly FieldFault[]): string =>
  ERROR_CODES[code === 'invalid_request' && errors.length === 0 ? 'unprocessable' : code].fix;

/** A failure with a stable code. `detail` is shown to the caller: it never holds a secret. */
export class SwitchyardError extends Error {
  readonly code: ErrorCode;
  readonly errors: FieldFault[];
  /** Only with `quota_exceeded`. */
  readonly quota: QuotaFault | undefined;
  /** When to try again, where that is known. */
  readonly retryAfterMs: number | undefined;

  /** What the reader can do, where it is known better than by the code alone. */
  readonly fix: string;

  constructor(
    code: ErrorCode,
    detail?: string,
    options: { errors?: FieldFault[]; cause?: unknown; quota?: QuotaFault; retryAfterMs?: number; fix?: string } = {},
  ) {
    super(detail ?? ERROR_CODES[code].title, { cause: options.cause });
    this.name = 'SwitchyardError';
    this.code = code;
    this.errors = options.errors ?? [];
    this.quota = options.quota;
    this.retryAfterMs = options.retryAfterMs;
    this.fix = options.fix ?? defaultFix(code, this.errors);
  }

  get status(): number {
    return ERROR_CODES[this.code].status;
  }
}

/** @param what user, room, domain … */
export const nameTaken = (what: string, name: string, cause?: unknown): SwitchyardError =>
  new SwitchyardError('conflict', `A ${what} named "${name}" already exists.`, {
    cause,
    fix: `Use another name, or the existing ${what}.`,
  });
