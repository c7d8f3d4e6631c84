/** Sends one room's stream to one target, from the first step to whatever ends it: the node is told, the relay process forwards. */
import { EslError, recordRoom, type ApiCommand, type Reply } from '../../freeswitch/esl';
import { SwitchyardError } from '../../errors';
import { createSecret } from '../../infra/secrets';
import type { AddressRules } from './targets/address-rules';
import { FLOW_LIMITS, type FlowLimits } from './state-machine';
import { Ended, FirstFault } from './first-fault';
import { INTAKE_APP } from './process/messages';
import type { Flow, Forwarder, ForwardEnd, Forwarding } from './process/relay-process';
import type { Target } from './targets/target';
import { withDeadline } from '../../infra/flow/deadline';

export interface SendingDeps {
  forwarder: Forwarder;
  /** Where relays may go to now. */
  readRules: () => Promise<AddressRules>;
  /** How nodes reach the relay process. */
  intakeHost: string;
  /** Sends a command to a node. */
  api: (nodeId: string, command: ApiCommand) => Promise<Reply>;
  /** For each step: the name, the connection, the handshake. */
  stepTimeoutMs: number;
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
  onFlow(flow: Flow): void;
}

/** How it ended: because we said so, or by a fault, in words that may be shown; `detail` is for the operator. */
export type SendingEnd =
  { stopped: true } | { stopped: false; fault: string; side: 'node' | 'target' | 'process'; detail: string };

/** The node has this long to connect and to send the first video or sound. */
const FIRST_MEDIA_MS = 15_000;
/** Waits for the node's own end of a stream that is stopped. */
const LAST_WORDS_MS = 1000;

/** What the relay process says of its end. */
class ForwardingEnded extends Error {
  constructor(readonly end: ForwardEnd) {
    super(end.reason);
  }
}

/** Resolves when it is over, never rejects; `signal` ends it cleanly. */
export async function sendRoom(
  deps: SendingDeps,
  request: SendingRequest,
  handlers: SendingHandlers,
  signal: AbortSignal,
): Promise<SendingEnd> {
  const { target, streamKey, sessionId, nodeId } = request;
  const streamName = createSecret();
  const fault = new FirstFault(signal);
  let forwarding: Forwarding | undefined;
  let source: string | undefined;

  try {
    await handlers.onStep('checking');
    const { stepTimeoutMs, limits = FLOW_LIMITS } = deps;
    const rules = await fault.orResult(deps.readRules());
    const order = { target, streamKey, streamName, rules, stepTimeoutMs, limits };
    forwarding = deps.forwarder.start(order, (flow) => handlers.onFlow(flow));
    void forwarding.ended.then((end) => fault.raise(new ForwardingEnded(end)));
    const { port } = await fault.orResult(forwarding.published);

    await handlers.onStep('starting');
    source = `rtmp://${deps.intakeHost}:${port}/${INTAKE_APP}/${streamName}`;
    const reply = await fault.orResult(deps.api(nodeId, recordRoom(sessionId, 'start', source)));
    if (!reply.ok || /not found/i.test(reply.text)) throw new Ended('the node does not have the room');
    const late = setTimeout(() => fault.raise('the node sent no video or sound in time'), FIRST_MEDIA_MS);
    await fault.orResult(forwarding.flowing).finally(() => clearTimeout(late));
    await handlers.onLive();
    return await fault.raised;
  } catch (error) {
    if (signal.aborted) return { stopped: true };
    return describeFault(error, streamKey);
  } finally {
    if (source !== undefined) await stopNode(deps, nodeId, sessionId, source);
    forwarding?.stop();
  }
}

/** FreeSWITCH goes on for 20 s and more with a connection that is gone: so it is told. */
async function stopNode(deps: SendingDeps, nodeId: string, sessionId: string, source: string): Promise<void> {
  const asked = deps.api(nodeId, recordRoom(sessionId, 'stop', source)).then(
    () => undefined,
    () => undefined, // a dead node needs no telling; one that comes back is compared
  );
  await withDeadline(asked, LAST_WORDS_MS, () => undefined);
}

/** Only words of ours and the server's own codes get out, and never the stream's key. */
function describeFault(error: unknown, streamKey: string): SendingEnd {
  const hide = (text: string): string => text.split(streamKey).join('…');
  if (error instanceof ForwardingEnded) {
    const { side, reason, detail } = error.end;
    return { stopped: false, side, fault: hide(reason), detail: hide(detail) };
  }
  const fault =
    error instanceof Ended
      ? error.message
      : error instanceof EslError || error instanceof SwitchyardError
        ? 'the node is out of reach'
        : 'it failed inside Switchyard';
  const side = fault.startsWith('the node') ? 'node' : 'target';
  return { stopped: false, side, fault, detail: hide(error instanceof Error ? error.message : String(error)) };
}
