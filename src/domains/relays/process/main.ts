/**
 * The relay process: everything that reads what strangers and tenants' targets send, apart from what answers phones.
 * relay-process.ts starts it, watches it and ends it; it lives no longer than the one who started it.
 */
import { resolveHost } from '../targets/address-rules';
import { TargetRefused } from '../targets/refusal';
import { openRtmpServer, type RtmpServer } from '../rtmp/server';
import { checkTarget, type ConnectDeps } from './connect';
import { forwardStream } from './forward';
import type { FromProcess, ToProcess } from './messages';
import { createOwnNames } from './own-names';

const PULSE_MS = 1000;
const GOODBYE_MS = 250;
const FAILED_INSIDE = 'it failed inside Switchyard';

const connecting: ConnectDeps = {
  resolve: resolveHost,
  resolveOwn: createOwnNames(resolveHost, Date.now),
  now: Date.now,
};
const forwards = new Map<string, AbortController>();
let intake: RtmpServer | undefined;

function tell(message: FromProcess): void {
  if (process.connected) process.send!(message, undefined, undefined, () => undefined); // gone: 'disconnect' follows
}

const describe = (error: unknown): string =>
  (error instanceof Error ? (error.stack ?? error.message) : String(error)).slice(0, 1000);

/** The owner has it in its log, and tries again. */
function fail(error: unknown): void {
  process.stderr.write(`${describe(error)}\n`, () => process.exit(1));
}

async function open(listen: { host: string; port: number } | null): Promise<void> {
  if (listen) intake = await openRtmpServer(listen.host, listen.port);
  tell({ kind: 'ready', port: intake?.port ?? null });
  // It ends with the process.
  setInterval(() => tell({ kind: 'pulse', refused: intake?.refused ?? 0 }), PULSE_MS);
}

async function check({ id, rules, target, timeoutMs }: Extract<ToProcess, { kind: 'check' }>): Promise<void> {
  const refusal = await checkTarget(connecting, rules, target, timeoutMs).then(
    () => null,
    (error: unknown) =>
      error instanceof TargetRefused
        ? { reason: error.message, detail: error.detail }
        : { reason: FAILED_INSIDE, detail: describe(error) },
  );
  tell({ kind: 'checked', id, refusal });
}

async function start({ id, request }: Extract<ToProcess, { kind: 'start' }>): Promise<void> {
  const stop = new AbortController();
  forwards.set(id, stop);
  const progress = {
    onPublished: () => tell({ kind: 'published', id }),
    onFlowing: () => tell({ kind: 'flowing', id }),
    onFlow: (flow: { bytesSent: number; takenAtMs: number }) => tell({ kind: 'flow', id, ...flow }),
    onEnded: (end: { side: 'node' | 'target'; reason: string; detail: string }) => tell({ kind: 'ended', id, ...end }),
  };
  try {
    if (!intake) throw new Error('This process only checks targets.');
    await forwardStream({ ...connecting, intake }, request, progress, stop.signal);
  } catch (error) {
    progress.onEnded({ side: 'target', reason: FAILED_INSIDE, detail: describe(error) });
  } finally {
    forwards.delete(id);
  }
}

/** Says goodbye to targets, and goes: whoever started us is gone, or wants it so. */
function end(): void {
  setTimeout(() => process.exit(0), forwards.size > 0 ? GOODBYE_MS : 0);
  for (const stop of forwards.values()) stop.abort();
}

process.on('message', (message: ToProcess) => {
  if (message.kind === 'open') open(message.listen).catch(fail);
  if (message.kind === 'check') void check(message);
  if (message.kind === 'start') void start(message);
  if (message.kind === 'stop') forwards.get(message.id)?.abort();
});
process.on('disconnect', end);
// Ctrl-C and a service's stop go to the whole group: whoever started us decides in which order things end.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.title = 'switchyard-relay';
