/** Looks at a node every few seconds: does mod_conference answer in time, and does its WebSocket port take browsers. */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { listRooms } from '../../../freeswitch/esl';
import { hostAndPort } from '../../../address';
import { createId } from '../../../infra/ids';
import type { Interval } from '../../../infra/flow/interval';
import { storeClock } from '../../../infra/store-clock';
import { judgeProbe, recordHealth, type HealthDeps, type Probe, type ProbeState } from './health';
import { HEALTH } from '../limits';
import type { NodeConnections } from '../connections/node-connections';
import { findNode, type NodeRow } from '../nodes.store';

export interface ProbeDeps extends HealthDeps {
  links: Pick<NodeConnections, 'connection' | 'isUp'>;
  /** Milliseconds between two looks. */
  everyMs: number;
}

/**
 * Asks for the list of rooms in the node's background, so that a mod_conference that hangs costs a thread there, and not
 * the connection by which everything else is told. @throws EslError where no answer comes in time
 */
async function timeConference(deps: ProbeDeps, nodeId: string): Promise<{ ms: number; bytes: number }> {
  const connection = deps.links.connection(nodeId);
  const began = performance.now();
  const reply = await connection.bgapi(listRooms(), { jobId: createId(), timeoutMs: HEALTH.commandTimeoutMs });
  const ms = Math.round(10 * (performance.now() - began)) / 10;
  if (/command not found/i.test(reply.text)) throw new Error('mod_conference is not loaded');
  return { ms, bytes: reply.text.length };
}

/** A plain TCP connection that asks to become a WebSocket for SIP (RFC 7118). @throws Error saying what went wrong */
function openWebSocket(host: string, port: number, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const deadline = setTimeout(() => end(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    let heard = '';
    const end = (fault?: Error): void => {
      clearTimeout(deadline);
      socket.destroy();
      if (fault) reject(fault);
      else resolve();
    };
    socket.on('error', (error: NodeJS.ErrnoException) => end(new Error(error.code ?? error.message)));
    socket.on('close', () => end(new Error('it closed the connection')));
    socket.once('connect', () => {
      const key = randomBytes(16).toString('base64');
      socket.write(
        `GET / HTTP/1.1\r\nHost: ${hostAndPort(host, port)}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
          `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n`,
      );
    });
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.toString('latin1');
      if (heard.length < 12) return;
      if (/^HTTP\/1\.1 101/.test(heard)) end();
      else end(new Error(`it answers "${heard.split('\r\n', 1)[0]!.slice(0, 60)}"`));
    });
  });
}

/** A port that is the Event Socket's as well can't be one for browsers: such a node takes none, and is not asked. */
const hasWebSocket = (node: Pick<NodeRow, 'ws_port' | 'esl_port'>): boolean => node.ws_port !== node.esl_port;

const wordsOf = (error: unknown): string => (error as Error).message;

/** One look. @returns also how long the list of rooms was */
async function probeNode(deps: ProbeDeps, node: NodeRow): Promise<{ seen: Probe; bytes: number }> {
  const [conference, webSocket] = await Promise.allSettled([
    timeConference(deps, node.id),
    hasWebSocket(node) ? openWebSocket(node.host, node.ws_port, HEALTH.webSocketTimeoutMs) : Promise.resolve(),
  ]);
  const failures = [
    ...(conference.status === 'rejected' ? [`a conference command failed: ${wordsOf(conference.reason)}`] : []),
    ...(webSocket.status === 'rejected' ? [`its WebSocket port ${node.ws_port}: ${wordsOf(webSocket.reason)}`] : []),
  ];
  const seen: Probe = {
    at: storeClock.now(),
    conferenceMs: conference.status === 'fulfilled' ? conference.value.ms : null,
    webSocket: !hasWebSocket(node) ? 'none' : webSocket.status === 'fulfilled' ? 'open' : 'closed',
    failure: failures.length > 0 ? failures.join('; ') : null,
  };
  return { seen, bytes: conference.status === 'fulfilled' ? conference.value.bytes : 0 };
}

/** Looks again and again, until it is stopped. A node that can't be reached at all is not judged here: it is down. */
export function watchHealth(deps: ProbeDeps, nodeId: string): Interval {
  let state: ProbeState | undefined;
  let writtenAtMs = 0;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let stopped = false;

  /** @returns by how much the next look is put off: a long list, or a node that leaves a thread hanging each time. */
  async function check(): Promise<number> {
    if (!deps.links.isUp(nodeId)) return 1;
    const node = await findNode(deps.db, nodeId);
    if (!node || node.state === 'down') return 1;
    const { seen, bytes } = await probeNode(deps, node);
    if (stopped || !deps.links.isUp(nodeId)) return 1;
    const before = state ?? node.probe;
    state = judgeProbe(before, seen);
    const changed = (before.out ?? null) !== state.out || before.webSocket !== state.webSocket;
    if (changed || storeClock.nowMs() - writtenAtMs >= HEALTH.writeEveryMs) {
      await recordHealth(deps, nodeId, { probe: state });
      writtenAtMs = storeClock.nowMs();
    }
    return state.out !== null && seen.conferenceMs === null ? 3 : 1 + Math.floor(bytes / HEALTH.bytesPerInterval);
  }
  const next = (intervals: number): void => {
    if (stopped) return;
    timer = setTimeout(() => {
      running = check()
        .catch((error: unknown) => {
          deps.logger.debug({ err: error, nodeId }, 'the health of a node can not be told now');
          return 1;
        })
        .then(next);
    }, intervals * deps.everyMs);
  };
  next(1);
  return {
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
