/** Publishes one stream to an RTMP server as OBS and ffmpeg do, and hears from the server itself that it takes it. */
import type { Socket } from 'node:net';
import { TargetRefused, UNREACHABLE } from '../targets/refusal';
import type { AmfValue } from './amf';
import { SOUND, WINDOW_SIZE, type RtmpMessage } from './chunks';
import { TARGET, targetMaySay } from './limits';
import { RtmpConnection } from './connection';

/** The server is asked to say how much it has read, each time it has read this much. */
const WINDOW_BYTES = 4096;
const GOODBYE_MS = 500;
/** Transactions whose results are acted on. */
const CONNECT = 1;
const CREATE_STREAM = 4;
const PUBLISH = 5;

export interface PublisherOptions {
  /** Connected already, TLS included. */
  socket: Socket;
  app: string;
  /** What the server is told it was reached as: rtmp://host[:port]/app */
  tcUrl: string;
  /** A secret. It is never part of a reason. */
  streamName: string;
  deadlineMs: number;
  onClosed: (reason: string) => void;
}

export interface Publisher {
  send(message: RtmpMessage): void;
  /** Bytes given to the connection. */
  readonly givenBytes: number;
  /** Bytes of them that wait in this process. */
  readonly waitingBytes: number;
  /** Bytes that the server says it has read, where it says so (a 32 bit count). */
  readonly acknowledgedBytes: number | undefined;
  readonly ports: { local: number | undefined; remote: number | undefined };
  /** Says goodbye and closes. */
  finish(): void;
  destroy(): void;
}

const textOf = (value: AmfValue | undefined, name: string): string => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return '';
  const field = value[name];
  return typeof field === 'string' ? field.slice(0, 120) : '';
};

/** Resolves when the server has said that the stream is being published. @throws TargetRefused */
export function publish(o: PublisherOptions): Promise<Publisher> {
  return new Promise((resolve, reject) => {
    let streamId = 0;
    let isPublished = false;
    let isRtmp = false;
    /** The transaction whose result is waited for: each result is taken once, however often a server sends it. */
    let awaited = CONNECT;
    const refuse = (reason: string): void => {
      clearTimeout(deadline);
      // What an RTMP server says of itself may be shown; what stands there otherwise is not told apart.
      reject(isRtmp ? new TargetRefused(reason) : new TargetRefused(UNREACHABLE, `no RTMP handshake: ${reason}`));
      peer.close(reason);
    };
    const deadline = setTimeout(() => refuse('it did not take the stream in time'), o.deadlineMs);
    /** Servers repeat the stream's name in what they say. */
    const hide = (text: string): string => (text.includes(o.streamName) ? '' : text.replace(/[^\x20-\x7e]/g, ' '));
    const told = (info: AmfValue | undefined): string =>
      [textOf(info, 'code'), textOf(info, 'description')].map(hide).filter(Boolean).join(': ') || 'without a reason';

    const maxReadBytes = (): number => targetMaySay(peer.givenBytes);
    const peer = new RtmpConnection(
      o.socket,
      { side: 'client', limits: TARGET, maxReadBytes },
      {
        onOpen() {
          isRtmp = true;
          peer.growChunks();
          peer.command('connect', CONNECT, [
            { app: o.app, type: 'nonprivate', flashVer: 'FMLE/3.0 (compatible; Switchyard)', tcUrl: o.tcUrl },
          ]);
        },
        onCommand(name, transaction, values) {
          if (name === '_error' && transaction === awaited) {
            refuse(`it refused the ${awaited === CONNECT ? 'application' : 'stream'} (${told(values[1])})`);
          } else if (name === '_result' && transaction === awaited) {
            if (awaited === CONNECT) createStream();
            else if (awaited === CREATE_STREAM) publishStream(Number(values[1]) || 1);
          } else if (name === 'onStatus') {
            takeStatus(values[1]);
          }
        },
        onMedia: () => undefined,
        onClosed(reason) {
          clearTimeout(deadline);
          if (isPublished) o.onClosed(reason);
          else refuse(reason);
        },
      },
    );

    function createStream(): void {
      awaited = CREATE_STREAM;
      peer.control(WINDOW_SIZE, WINDOW_BYTES);
      peer.command('releaseStream', 2, [null, o.streamName]);
      peer.command('FCPublish', 3, [null, o.streamName]);
      peer.command('createStream', CREATE_STREAM, [null]);
    }

    function publishStream(id: number): void {
      awaited = PUBLISH;
      streamId = id;
      peer.command('publish', PUBLISH, [null, o.streamName, 'live'], streamId);
    }

    function takeStatus(info: AmfValue | undefined): void {
      const isError = textOf(info, 'level') === 'error';
      if (!isPublished && isError) return refuse(`it refused the stream (${told(info)})`);
      if (isError || /Unpublish/.test(textOf(info, 'code'))) return peer.close(`it ended the stream (${told(info)})`);
      if (isPublished || textOf(info, 'code') !== 'NetStream.Publish.Start') return;
      isPublished = true;
      clearTimeout(deadline);
      resolve({
        send: (message) => peer.send(message.type === SOUND ? 4 : 6, { ...message, streamId }),
        get givenBytes() {
          return peer.givenBytes;
        },
        get waitingBytes() {
          return peer.waitingBytes;
        },
        get acknowledgedBytes() {
          return peer.acknowledgedBytes;
        },
        get ports() {
          return peer.ports;
        },
        finish() {
          peer.command('FCUnpublish', 6, [null, o.streamName]);
          peer.command('deleteStream', 7, [null, streamId]);
          peer.end(GOODBYE_MS);
        },
        destroy: () => peer.close('we closed it'),
      });
    }
  });
}
