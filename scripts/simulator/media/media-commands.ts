/** Commands on a channel's sound and video: recording of a call, figures of its quality, its bandwidth. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { onChannel, type Command } from '../event-socket/api-command';
import type { NodeContext } from '../node-context';
import { splitWords } from '../channels/dial-string';
import type { Channel } from '../channels/channel';
import { openSink } from './recordings';
import { type Sink } from './sink';

const NO_SESSION = '-ERR Cannot locate session!\n';
const PACKETS_A_SECOND = 50;
const BYTES_A_PACKET = 160;

interface CallRecording {
  paused: boolean;
  stop: () => void;
  pause: (paused: boolean) => void;
}
const recordings = new WeakMap<Channel, Map<string, CallRecording>>();

function record(node: NodeContext, channel: Channel, [action, path]: string[]): string {
  const running = recordings.get(channel) ?? new Map<string, CallRecording>();
  recordings.set(channel, running);
  if (!action || !path) return '-USAGE: <uuid> [start|stop|mask|unmask] <path> [<limit>] [<recording_vars>]\n';
  const found = running.get(path);
  switch (action) {
    case 'start':
      if (found) return '+OK Success\n'; // said, and nothing done
      if (node.faults.diskFull || !node.disk.owns(path) || !node.hasFormatOf(path))
        return '-ERR Cannot record session!\n';
      startCallRecording(node, channel, path, running);
      return '+OK Success\n';
    case 'stop':
      if (path === 'all') {
        for (const r of [...running.values()]) r.stop();
        return '+OK Success\n';
      }
      if (!found) return '-ERR Cannot stop record session!\n';
      found.stop();
      return '+OK Success\n';
    case 'pause':
    case 'mask':
      if (!found) return `-ERR Cannot ${action} recording session!\n`;
      found.pause(true);
      return '+OK Success\n';
    case 'resume':
    case 'unmask':
      if (!found) return `-ERR Cannot ${action} recording session!\n`;
      found.pause(false);
      return '+OK Success\n';
    default:
      return '-USAGE: <uuid> [start|stop|mask|unmask] <path> [<limit>] [<recording_vars>]\n';
  }
}

function startCallRecording(
  node: NodeContext,
  channel: Channel,
  path: string,
  running: Map<string, CallRecording>,
): void {
  let sink: Sink | undefined;
  let over = false;
  const stop = (): void => {
    if (over) return;
    over = true;
    running.delete(path);
    giveUp();
    const startedMs = node.clock() - (sink?.elapsedMs ?? 0);
    sink?.close();
    channel.variables.set('record_ms', String(Math.floor(sink?.elapsedMs ?? 0)));
    channel.variables.set('record_seconds', String(Math.floor((sink?.elapsedMs ?? 0) / 1000)));
    if (sink)
      node.emitChannel('RECORD_STOP', channel, { 'Record-File-Path': path, 'Record-Started-Ms': String(startedMs) });
  };
  running.set(path, { paused: false, stop, pause: (paused) => sink?.pause(paused) });
  channel.onEnd.push(stop);
  const giveUp = openSink(node, path, 8000, channel.hasVideo, () => channel.hears?.())((opened) => {
    if (over) return opened?.close();
    sink = opened;
    if (opened) node.emitChannel('RECORD_START', channel, { 'Record-File-Path': path });
    else stop();
  }, stop);
}

/** What a node writes into a channel's variables when it is asked for the figures. */
function writeStats(node: NodeContext, channel: Channel): void {
  const seconds = channel.answeredUs > 0 ? Math.max(0, (node.nowUs() - channel.answeredUs) / 1e6) : 0;
  const q = channel.person?.().quality ?? {};
  const lost = (q.lossPercent ?? 0) / 100;
  for (const kind of channel.hasVideo ? ['audio', 'video'] : ['audio']) {
    const put = (name: string, value: string): void => void channel.variables.set(`rtp_${kind}_${name}`, value);
    const sent = Math.floor(seconds * PACKETS_A_SECOND);
    const got = Math.floor(sent * (1 - lost));
    put('in_raw_bytes', String(got * BYTES_A_PACKET));
    put('in_media_bytes', String(got * BYTES_A_PACKET));
    put('in_packet_count', String(got));
    put('in_media_packet_count', String(got));
    put('in_skip_packet_count', String(sent - got));
    put('in_jitter_packet_count', '0');
    put('in_jitter_min_variance', '0.00');
    put('in_jitter_max_variance', (q.jitterMs ?? 0).toFixed(2));
    put('in_jitter_loss_rate', lost.toFixed(2));
    put('in_jitter_burst_rate', '0.00');
    put('in_mean_interval', '20.00');
    put('in_flaw_total', String(sent - got));
    put('in_quality_percentage', Math.max(20, 100 - lost * 200).toFixed(2));
    put('in_mos', (q.mos ?? Math.max(1, 4.5 - lost * 10)).toFixed(2));
    put('out_raw_bytes', String(sent * BYTES_A_PACKET));
    put('out_media_bytes', String(sent * BYTES_A_PACKET));
    put('out_packet_count', String(sent));
    put('out_media_packet_count', String(sent));
    put('rtcp_packet_count', String(Math.floor(seconds / 5)));
    put('rtcp_octet_count', '0');
  }
}

export const MEDIA_COMMANDS: Readonly<Record<string, Command>> = {
  uuid_record: onChannel(({ node }, channel, words) => record(node, channel, words), NO_SESSION),
  uuid_buglist: onChannel((_, channel) => {
    const bugs = [...(recordings.get(channel)?.keys() ?? [])].map(
      (path) =>
        ` <media-bug>\n  <function>session_record</function>\n  <target>${path}</target>\n  <thread-locked>0</thread-locked>\n </media-bug>\n`,
    );
    return `<media-bugs>\n${bugs.join('')}</media-bugs>\n`;
  }),
  uuid_set_media_stats: (parts, rest) => {
    const channel = parts.node.channels.get(rest.trim());
    if (!channel) return `-ERR No such channel ${rest.trim()}!\n`;
    writeStats(parts.node, channel);
    return '+OK:\n';
  },
  uuid_video_bandwidth: (parts, rest) => {
    const [uuid, kbps] = splitWords(rest);
    const channel = parts.node.channels.get(uuid ?? '');
    if (!kbps) return '-USAGE: <uuid> [auto|manual]\n-ERR Operation Failed\n';
    if (!channel) return '-ERR Operation Failed\n';
    channel.variables.set('video_bandwidth', kbps);
    return '+OK Success\n';
  },
  uuid_video_refresh: onChannel(() => '+OK Success\n', '-ERR Operation Failed\n'),
  uuid_video_bitrate: onChannel(() => '+OK Success\n', '-ERR Operation Failed\n'),
  sched_hangup: (parts, rest) => {
    const [when = '', uuid = '', cause = 'NORMAL_CLEARING'] = splitWords(rest);
    const channel = parts.node.channels.get(uuid);
    if (!channel) return '-ERR No such channel!\n';
    parts.node.later(seconds(when, parts.node) * 1000, () => parts.calls.hangup(channel, cause));
    return '+OK\n';
  },
  file_exists: (_, rest) => String(existsSync(rest.trim())),
  md5: (_, rest) => createHash('md5').update(rest).digest('hex'),
};

/** `+N` from now, or a time since 1970. */
function seconds(when: string, node: NodeContext): number {
  const n = Number(when.replace('+', '')) || 0;
  return when.startsWith('+') ? n : Math.max(0, n - node.clock() / 1000);
}
