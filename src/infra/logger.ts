/** One logger for all, which knows which fields may never be written. */
import { pino, type Logger, type DestinationStream } from 'pino';

export type { Logger };

/** @param destination where lines go; standard output where it is left out. */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: undefined,
    redact: {
      paths: ['password', '*.password', 'ha1', '*.ha1', 'req.headers.authorization', 'req.headers.cookie', 'apiKey'],
      censor: '[hidden]',
    },
  };
  return destination ? pino(options, destination) : pino(options);
}
