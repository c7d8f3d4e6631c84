/** Forwards one node's stream to one target until something ends it: every byte goes through here, so it is seen. */
import {
  judgeFlow,
  LOOK_EVERY_MS,
  startFlow,
  type FlowLimits,
  type FlowSample,
  type FlowState,
} from '../state-machine';
import { Ended, FirstFault } from '../first-fault';
import { TargetRefused } from '../targets/refusal';
import { DATA, type RtmpMessage } from '../rtmp/chunks';
import type { RtmpServer, RtmpSource } from '../rtmp/server';
import { publish, type Publisher } from '../rtmp/publisher';
import { openTarget, type ConnectDeps } from './connect';
import type { ForwardRequest } from './messages';
import { readSendQueues } from './tcp-backlog';

export interface ForwardDeps extends ConnectDeps {
  intake: RtmpServer;
}

/** How far it has come. */
export interface ForwardProgress {
  /** The target has taken the stream; the node is expected. */
  onPublished(): void;
  /** The first sound or video has gone through. */
  onFlowing(): void;
  /** About once a second from then on. */
  onFlow(flow: { bytesSent: number; takenAtMs: number }): void;
  /** Called once. Both reasons are plain words; the first may be shown to the relay's owner. */
  onEnded(end: { side: 'node' | 'target'; reason: string; detail: string }): void;
}

/** The node is told to stop before its connection goes: it has this long to be told. */
const LAST_WORDS_MS = 3000;

const FAULTS = {
  source_silent: 'the node has stopped sending',
  target_stalled: 'the target has stopped reading',
  target_too_slow: 'the target reads slower than the room sends',
} as const;

/** Resolves when nothing of it is left, never rejects; `signal` ends it cleanly. */
export async function forwardStream(
  deps: ForwardDeps,
  request: ForwardRequest,
  progress: ForwardProgress,
  signal: AbortSignal,
): Promise<void> {
  const fault = new FirstFault(signal);
  const parts: { publisher?: Publisher; node?: RtmpSource; forget?: () => void } = {};
  try {
    await run(deps, request, progress, fault, parts);
  } catch (error) {
    progress.onEnded(describeFault(error, request.streamKey));
  }
  parts.forget?.();
  parts.publisher?.finish();
  if (!signal.aborted) await untilAborted(signal, LAST_WORDS_MS); // what still comes from the node is thrown away
  parts.node?.close();
}

async function run(
  deps: ForwardDeps,
  request: ForwardRequest,
  progress: ForwardProgress,
  fault: FirstFault,
  parts: { publisher?: Publisher; node?: RtmpSource; forget?: () => void },
): Promise<never> {
  const { target, streamKey, streamName, stepTimeoutMs, limits } = request;
  const connecting = openTarget(deps, request.rules, target, () => stepTimeoutMs);
  const socket = await fault.orResult(connecting, (late) => late.destroy());
  const { app, url: tcUrl } = target;
  const onClosed = (reason: string): void => fault.raise(`the target: ${reason}`);
  const publishing = publish({ socket, app, tcUrl, streamName: streamKey, deadlineMs: 2 * stepTimeoutMs, onClosed });
  const publisher = await fault.orResult(publishing, (late) => late.destroy());
  parts.publisher = publisher;

  const firstMedia = new Promise<void>((resolve) => {
    parts.forget = deps.intake.expect(streamName, {
      onPublish: (from) => (parts.node = from),
      onMedia(message: RtmpMessage) {
        if (fault.isRaised) return;
        if (publisher.waitingBytes > limits.maxWaitingBytes) return fault.raise(FAULTS.target_too_slow);
        publisher.send(message);
        if (message.payload.length > 0 && message.type !== DATA) resolve();
      },
      onClosed: (reason) => fault.raise(`the node: ${reason}`),
    });
  });
  progress.onPublished();
  await fault.orResult(firstMedia);
  progress.onFlowing();
  return watch(deps, limits, publisher, () => parts.node?.receivedBytes ?? 0, progress, fault);
}

/** Looks once a second at what has moved. @throws Ended with what is wrong, or that it is to stop */
async function watch(
  deps: ForwardDeps,
  limits: FlowLimits,
  publisher: Publisher,
  receivedBytes: () => number,
  progress: ForwardProgress,
  fault: FirstFault,
): Promise<never> {
  const check = async (): Promise<FlowSample> => {
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
  let state: FlowState = startFlow(await check());
  for (;;) {
    await fault.orTime(LOOK_EVERY_MS);
    const judged = judgeFlow(state, await check(), limits);
    state = judged.state;
    progress.onFlow({ bytesSent: Math.max(0, state.taken), takenAtMs: state.takenAtMs });
    if (judged.verdict !== 'flows') throw new Ended(FAULTS[judged.verdict]);
  }
}

/** Only words of ours and the server's own codes get out, and never the stream's key. */
function describeFault(error: unknown, streamKey: string): Parameters<ForwardProgress['onEnded']>[0] {
  const hide = (text: string): string => text.split(streamKey).join('…').slice(0, 1000);
  if (error instanceof TargetRefused) {
    return { side: 'target', reason: hide(`the target: ${error.message}`), detail: hide(error.detail) };
  }
  const isKnown = error instanceof Ended;
  const reason = hide(isKnown ? error.message : 'it failed inside Switchyard');
  const detail = isKnown ? reason : hide(error instanceof Error ? (error.stack ?? error.message) : String(error));
  return { side: reason.startsWith('the node') ? 'node' : 'target', reason, detail };
}

async function untilAborted(signal: AbortSignal, mostMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await new Promise<void>((resolve) => {
    timer = setTimeout(resolve, mostMs);
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  clearTimeout(timer);
}
