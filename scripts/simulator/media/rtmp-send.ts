/** Publishes to an RTMP server as a node's recorder does: the whole greeting, then videos and sound that mean nothing. */
import { connect } from 'node:net';
import type { NodeContext } from '../node-context';
import type { Sink } from './sink';

const RTMP_PORT = 1935;
const HANDSHAKE_BYTES = 1536;
const CHUNK_BYTES = 65_536;
const SEND_EVERY_MS = 100;
const VIDEO_BYTES = 4000;
const SOUND_BYTES = 400;
/** What a slow server has not taken yet; a real node's recorder blocks here. */
const MAX_WAITING_BYTES = 1024 * 1024;
const ANSWER_TIMEOUT_MS = 10_000;
const [SOUND, VIDEO, COMMAND, SET_CHUNK_SIZE] = [8, 9, 20, 1];

/** @returns gives up, or ends the stream */
export function openConnection(
  node: NodeContext,
  target: string,
  opened: (sink: Sink | undefined) => void,
  failed: () => void,
): () => void {
  const { host, port, app, stream } = addressOf(target);
  const socket = connect({ host, port });
  node.sockets.add(socket);
  const startedMs = node.clock();
  let said = Buffer.alloc(0);
  let step: 'greeting' | 'connecting' | 'creating' | 'publishing' | 'live' | 'over' = 'greeting';
  let stopTimer = node.later(ANSWER_TIMEOUT_MS, () => socket.destroy());
  const heard = (text: string): boolean => said.includes(text, 0, 'latin1');
  const forget = (): void => void (said = Buffer.alloc(0));

  function go(): void {
    if (step === 'greeting' && said.length >= 1 + 2 * HANDSHAKE_BYTES) {
      socket.write(said.subarray(1, 1 + HANDSHAKE_BYTES));
      said = said.subarray(1 + 2 * HANDSHAKE_BYTES);
      const size = Buffer.alloc(4);
      size.writeUInt32BE(CHUNK_BYTES);
      socket.write(message(2, SET_CHUNK_SIZE, 0, 0, size));
      const tcUrl = `rtmp://${host}:${port}/${app}`;
      socket.write(command('connect', 1, { app, type: 'nonprivate', flashVer: 'FMLE/3.0', tcUrl }));
      step = 'connecting';
    } else if (step === 'connecting' && heard('_result')) {
      forget();
      socket.write(command('releaseStream', 2, null, stream));
      socket.write(command('FCPublish', 3, null, stream));
      socket.write(command('createStream', 4, null));
      step = 'creating';
    } else if (step === 'creating' && heard('_result')) {
      forget();
      socket.write(message(4, COMMAND, 0, 1, amf('publish', 5, null, stream, 'live')));
      step = 'publishing';
    } else if (step === 'publishing' && heard('NetStream.Publish.Start')) {
      step = 'live';
      stopTimer();
      send();
      opened({
        get bytes() {
          return socket.bytesWritten;
        },
        get elapsedMs() {
          return node.clock() - startedMs;
        },
        pause: () => undefined,
        close: () => end(),
      });
    } else if (heard('_error') || heard('NetStream.Publish.BadName')) socket.destroy();
    if (step === 'live') forget();
  }

  function send(): void {
    const at = Math.floor(node.clock() - startedMs);
    if (socket.writableLength < MAX_WAITING_BYTES && !node.faults.recordingsStalled) {
      const video = Buffer.alloc(VIDEO_BYTES, 0x33);
      video.set([0x17, 1, 0, 0, 0]);
      const sound = Buffer.alloc(SOUND_BYTES, 0x44);
      sound.set([0xaf, 1]);
      socket.write(Buffer.concat([message(6, VIDEO, at, 1, video), message(4, SOUND, at, 1, sound)]));
    }
    stopTimer = node.later(SEND_EVERY_MS, send);
  }

  function end(): void {
    if (step === 'over') return;
    if (step === 'live') socket.write(command('deleteStream', 7, null, 1));
    step = 'over';
    stopTimer();
    socket.end();
    node.later(SEND_EVERY_MS, () => socket.destroy());
  }

  socket.once('connect', () => socket.write(Buffer.concat([Buffer.from([3]), Buffer.alloc(HANDSHAKE_BYTES)])));
  socket.on('data', (bytes) => {
    said = Buffer.concat([said, bytes]);
    node.whenAwake(go);
  });
  socket.on('error', () => undefined);
  socket.once('close', () => {
    node.sockets.delete(socket);
    stopTimer();
    const was = step;
    step = 'over';
    node.whenAwake(() => {
      if (was === 'live') failed();
      else if (was !== 'over') opened(undefined);
    });
  });
  return end;
}

/** `rtmp://host[:port]/app[/more]/stream` */
function addressOf(target: string): { host: string; port: number; app: string; stream: string } {
  const [, host = '127.0.0.1', port, path = ''] =
    /^rtmps?:\/\/(\[[^\]]+\]|[^:/]+)(?::(\d+))?\/?(.*)$/.exec(target) ?? [];
  const at = path.lastIndexOf('/');
  return {
    host: host.replace(/[[\]]/g, ''),
    port: Number(port) || RTMP_PORT,
    app: at < 0 ? path : path.slice(0, at),
    stream: at < 0 ? '' : path.slice(at + 1),
  };
}

type Value = string | number | null | Record<string, string>;

function name(text: string): Buffer {
  const head = Buffer.alloc(2);
  head.writeUInt16BE(Buffer.byteLength(text));
  return Buffer.concat([head, Buffer.from(text)]);
}

/** AMF0: only what a publisher says. */
function amf(...values: Value[]): Buffer {
  return Buffer.concat(
    values.map((value) => {
      if (value === null) return Buffer.from([5]);
      if (typeof value === 'string') return Buffer.concat([Buffer.from([2]), name(value)]);
      if (typeof value === 'number') {
        const bytes = Buffer.alloc(9);
        bytes.writeDoubleBE(value, 1);
        return bytes;
      }
      const fields = Object.entries(value).flatMap(([key, text]) => [name(key), amf(text)]);
      return Buffer.concat([Buffer.from([3]), ...fields, Buffer.from([0, 0, 9])]);
    }),
  );
}

const command = (what: string, transaction: number, ...rest: Value[]): Buffer =>
  message(3, COMMAND, 0, 0, amf(what, transaction, ...rest));

/** Every message of ours fits into one chunk, once the size is told; those before it are shorter than 128 bytes each. */
function message(chunkStream: number, type: number, timestamp: number, streamId: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head[0] = chunkStream;
  head.writeUIntBE(timestamp & 0xffffff, 1, 3);
  head.writeUIntBE(payload.length, 4, 3);
  head[7] = type;
  head.writeUInt32LE(streamId, 8);
  return Buffer.concat([head, payload]);
}
