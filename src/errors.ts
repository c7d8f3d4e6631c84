/** The one table of error codes, so that a code means the same in every answer, log and document. */

/** code → HTTP status, and what the reader can do about it. Codes are stable: they are part of the API. */
export const ERROR_CODES = {
  invalid_request: { status: 400, title: 'The request is not valid', fix: 'Correct the fields named in "errors".' },
  invalid_json: { status: 400, title: 'The body is not valid JSON', fix: 'Send one JSON object, encoded as UTF-8.' },
  invalid_cursor: { status: 400, title: 'The cursor is not valid', fix: 'Use "nextCursor" from a list answer.' },
  invalid_address: {
    status: 400,
    title: 'The address can not be called',
    fix: 'Use user:NAME, room:NAME, tel:+NUMBER, sip:USER@HOST or digits.',
  },
  unauthorized: { status: 401, title: 'No valid API key', fix: 'Send "Authorization: Bearer API_KEY".' },
  forbidden: { status: 403, title: 'This key may not do that', fix: 'Use a key with the scope that is named.' },
  node_pending: {
    status: 403,
    title: 'The node waits for approval',
    fix: 'Let it in with POST /v1/nodes/{id}/approve, or ./scripts/pool approve NAME.',
  },
  not_found: { status: 404, title: 'Not found', fix: 'Check the id, and that your key can see its domain.' },
  method_not_allowed: { status: 405, title: 'Method not allowed', fix: 'See "Allow" for the methods of this path.' },
  request_timeout: { status: 408, title: 'The request came too slowly', fix: 'Send the whole body without pausing.' },
  conflict: { status: 409, title: 'It conflicts with what is there', fix: 'Read the resource again, then decide.' },
  feature_missing: {
    status: 409,
    title: 'The media node lacks a module for this',
    fix: 'Load the module that is named on the node that is named, or ask for something else; see "lacks" in GET /v1/nodes.',
  },
  idempotency_mismatch: {
    status: 409,
    title: 'This Idempotency-Key was used for another request',
    fix: 'Use a new key for a new request.',
  },
  idempotency_in_progress: {
    status: 409,
    title: 'A request with this Idempotency-Key is still under way',
    fix: 'Try again in a second.',
  },
  gone: { status: 410, title: 'It is over', fix: 'Create a new one.' },
  payload_too_large: { status: 413, title: 'The body is too large', fix: 'Send less than the limit that is named.' },
  unsupported_media_type: {
    status: 415,
    title: 'The body is of a type that is not read here',
    fix: 'Send "Content-Type: application/json".',
  },
  unprocessable: { status: 422, title: 'It can not be done as asked', fix: 'See "detail".' },
  rate_limited: { status: 429, title: 'Too many requests', fix: 'Wait for the seconds in "Retry-After".' },
  quota_exceeded: {
    status: 429,
    title: 'The domain has used up this quota',
    fix: 'Free what "quota" counts, or wait for "Retry-After"; an admin key can raise it with PUT /v1/quotas/{domain}.',
  },
  internal: { status: 500, title: 'Something failed on our side', fix: 'Try again; report "requestId" if it stays.' },
  no_capacity: { status: 503, title: 'The pool is full', fix: 'Try again in a moment, or add nodes.' },
  node_error: { status: 502, title: 'The media node refused', fix: 'See "detail"; try again or on another node.' },
  unavailable: { status: 503, title: 'A store is out of reach', fix: 'Try again in a few seconds.' },
  node_unreachable: { status: 503, title: 'The media node is out of reach', fix: 'Try again in a few seconds.' },
  node_timeout: { status: 504, title: 'The media node did not answer in time', fix: 'Look at the state, then retry.' },
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
    this.fix = options.fix ?? ERROR_CODES[code].fix;
  }

  get status(): number {
    return ERROR_CODES[this.code].status;
  }
}

/** @param what user, room, domain … */
export const nameTaken = (what: string, name: string, cause?: unknown): SwitchyardError =>
  new SwitchyardError('conflict', `There is a ${what} "${name}" already.`, {
    cause,
    fix: `Choose another name, or use the ${what} that is there.`,
  });
