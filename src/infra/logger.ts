/** One logger for all, which knows what may never be written. */
import { pino, type Logger, type DestinationStream } from 'pino';

export type { Logger };

const CAUSES = 3;
/** What of a fault's own fields is written: words that say which kind it is. */
const FIELDS = ['code', 'kind', 'sent', 'status', 'severity', 'constraint', 'table', 'column', 'syscall'] as const;

/**
 * Of a fault only what says what broke, and where. Libraries hang onto theirs whatever they worked with: Postgres the row
 * that failed, ioredis the command with its arguments, among them the password of an AUTH.
 */
function showFault(fault: unknown, left = CAUSES): unknown {
  if (typeof fault !== 'object' || fault === null) return fault;
  const { name, message, stack, cause } = fault as Partial<Error>;
  const known = Object.fromEntries(
    FIELDS.map((field) => [field, (fault as Record<string, unknown>)[field]]).filter(([, value]) =>
      ['string', 'number', 'boolean'].includes(typeof value),
    ),
  );
  const inner = fault instanceof AggregateError ? fault.errors : [];
  return {
    type: name ?? fault.constructor?.name,
    message,
    stack,
    ...known,
    ...(cause !== undefined && left > 0 ? { cause: showFault(cause, left - 1) } : {}),
    ...(inner.length > 0 && left > 0 ? { errors: inner.slice(0, CAUSES).map((one) => showFault(one, 0)) } : {}),
  };
}

/** @param destination where lines go; standard output where it is left out. */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: undefined,
    serializers: { err: (fault: unknown) => showFault(fault) },
    redact: {
      paths: ['password', '*.password', 'ha1', '*.ha1', 'req.headers.authorization', 'req.headers.cookie', 'apiKey'],
      censor: '[hidden]',
    },
  };
  return destination ? pino(options, destination) : pino(options);
}
