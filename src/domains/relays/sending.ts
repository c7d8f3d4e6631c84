/** Sends one room's stream to one target, from the first step to whatever ends it: every byte goes through here, so it is seen. */
import { createSecret } from '../../infra/secrets';
import { EslError, recordRoom, type ApiCommand, type Reply } from '../../freeswitch/esl';
import { SwitchyardError } from '../../errors';
import { openTarget, type ConnectDeps } from './connect';
import {
  FLOW_LIMITS,
  judgeFlow,
  LOOK_EVERY_MS,
  startFlow,
  type FlowLimits,
  type FlowSample,
  type FlowState,
} from './decide';
import { INTAKE_APP, type Intake, type IntakeSource } from './rtmp/intake';
import type { RtmpMessage } from './rtmp/chunks';
import { publish, PublishRefused, type Publisher } from './rtmp/publisher';
import { readSendQueues } from './sendq';
import { TargetRefused, type Target } from './target';

export interface SendingDeps extends ConnectDeps {
  intake: Intake;
  /** How nodes reach the intake. */
  intakeHost: string;
  /** Sends a command to a node. */
  api: (nodeId: string, command: ApiCommand) => Promise<Reply>;
  now: () => number;
  limits?: FlowLimits;
}

export interface SendingRequest {
  target: Target;
  streamKey: string;
  sessionId: string;
  nodeId: string;
}

export interface SendingHandlers {
  onStep(step: 'checking' | 'starting'): Promise<void>;
  onLive(): Promise<void>;
  /** About once a second while it is live. */
  onFlow(flow: { bytesSent: number; takenAtMs: number }): void;
}

/** How it ended: because we said so, or by a fault, in words that may be shown. */
export type SendingEnd = { stopped: true } | { stopped: false; fault: string; side: 'node' | 'target' };

/** The node has this long to connect and to send the first picture or sound. */
const FIRST_MEDIA_MS = 15_000;
/** Waits for the node's own end of a stream that is stopped. */
const LAST_WORDS_MS = 1000;

const FAULTS = {
  source_silent: 'the node has stopped sending',
  target_stalled: 'the target has stopped reading',
  target_too_slow: 'the target reads slower than the room sends',
} as const;

class Ended extends Error {}

/** Resolves when it is over, never rejects; `signal` ends it cleanly. */
export async function sendRoom(
  deps: SendingDeps,
  request: SendingRequest,
  handlers: SendingHandlers,
  signal: AbortSignal,
): Promise<SendingEnd> {
  const { target, streamKey, sessionId, nodeId } = request;
  const streamName = createSecret();
  const source = `rtmp://${deps.intakeHost}:${deps.intake.port}/${INTAKE_APP}/${streamName}`;
  const fault = new FirstFault(signal);
  let publisher: Publisher | undefined;
  let node: IntakeSource | undefined;
  let isAsked = false;
  let forget = (): void => undefined;

  try {
    await handlers.onStep('checking');
    const socket = await fault.orResult(openTarget(deps, target), (late) => late.destroy());
    const { app, url: tcUrl } = target;
    const onClosed = (reason: string): void => fault.raise(`the target: ${reason}`);
    const deadlineMs = 2 * deps.stepTimeoutMs;
    const publishing = publish({ socket, app, tcUrl, streamName: streamKey, deadlineMs, onClosed });
    publisher = await fault.orResult(publishing, (late) => late.destroy());

    await handlers.onStep('starting');
    const firstMedia = new Promise<void>((resolve) => {
      forget = deps.intake.expect(streamName, {
        onPublish: (from) => (node = from),
        onMedia(message: RtmpMessage) {
          if (fault.isRaised) return;
          publisher!.send(message);
          if (message.payload.length > 0 && message.type !== 18) resolve();
        },
        onClosed: (reason) => fault.raise(`the node: ${reason}`),
      });
    });
    isAsked = true;
    const reply = await fault.orResult(deps.api(nodeId, recordRoom(sessionId, 'start', source)));
    if (!reply.ok || /not found/i.test(reply.text)) throw new Ended('the node does not have the room');
    const late = setTimeout(() => fault.raise('the node sent no picture or sound in time'), FIRST_MEDIA_MS);
    await fault.orResult(firstMedia).finally(() => clearTimeout(late));
    await handlers.onLive();
    await watch(deps, publisher, () => node?.receivedBytes ?? 0, handlers, fault);
    return { stopped: true };
  } catch (error) {
    if (signal.aborted) return { stopped: true };
    const text = describeFault(error, streamKey);
    return { stopped: false, fault: text, side: text.startsWith('the node') ? 'node' : 'target' };
  } finally {
    fault.raise('it is over'); // what comes now is no longer sent on
    if (isAsked) await stopNode(deps, nodeId, sessionId, source);
    forget();
    node?.close();
    publisher?.finish();
  }
}

/** Looks once a second at what has moved. @throws Ended with what is wrong; returns only where it is to stop. */
async function watch(
  deps: SendingDeps,
  publisher: Publisher,
  receivedBytes: () => number,
  handlers: SendingHandlers,
  fault: FirstFault,
): Promise<void> {
  const limits = deps.limits ?? FLOW_LIMITS;
  const look = async (): Promise<FlowSample> => {
    const { local, remote } = publisher.ports;
    const queues = await readSendQueues();
    return {
      atMs: deps.now(),
      received: receivedBytes(),
      given: publisher.givenBytes,
      waiting: publisher.waitingBytes,
      untaken: queues?.get(`${local}:${remote}`),
      acknowledged: publisher.acknowledgedBytes,
    };
  };
  let state: FlowState = startFlow(await look());
  for (;;) {
    await fault.orTime(LOOK_EVERY_MS);
    const judged = judgeFlow(state, await look(), limits);
    state = judged.state;
    handlers.onFlow({ bytesSent: Math.max(0, state.taken), takenAtMs: state.takenAtMs });
    if (judged.verdict !== 'flows') throw new Ended(FAULTS[judged.verdict]);
  }
}

/** FreeSWITCH goes on for 20 s and more with a connection that is gone: so it is told. */
async function stopNode(deps: SendingDeps, nodeId: string, sessionId: string, source: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, LAST_WORDS_MS)));
  const asked = deps.api(nodeId, recordRoom(sessionId, 'stop', source)).then(
    () => undefined,
    () => undefined, // a dead node needs no telling; one that comes back is compared
  );
  await Promise.race([asked, late]);
  clearTimeout(timer);
}

/** The first thing that goes wrong ends it, whichever step it is at. */
class FirstFault {
  private reject: (error: Error) => void = () => undefined;
  private readonly raised: Promise<never>;
  isRaised = false;

  constructor(signal: AbortSignal) {
    this.raised = new Promise<never>((_, reject) => (this.reject = reject));
    this.raised.catch(() => undefined);
    const stop = (): void => this.raise('it was stopped');
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  }

  raise(fault: string): void {
    this.isRaised = true;
    this.reject(new Ended(fault));
  }

  /** The result; where something else goes wrong first, the result that still comes is given to `discard`. */
  async orResult<T>(work: Promise<T>, discard: (late: T) => void = () => undefined): Promise<T> {
    let isLate = false;
    work.then(
      (value) => isLate && discard(value),
      () => undefined,
    );
    try {
      return await Promise.race([work, this.raised]);
    } catch (error) {
      isLate = true;
      throw error;
    }
  }

  async orTime(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const time = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
    await Promise.race([time, this.raised]).finally(() => clearTimeout(timer));
  }
}

/** Only words of ours and the server's own codes get out, and never the stream's key. */
function describeFault(error: unknown, streamKey: string): string {
  const text =
    error instanceof TargetRefused || error instanceof PublishRefused
      ? `the target: ${error.message}`
      : error instanceof Ended
        ? error.message
        : error instanceof EslError || error instanceof SwitchyardError
          ? 'the node is out of reach'
          : 'it failed inside Switchyard';
  return text.split(streamKey).join('…');
}
