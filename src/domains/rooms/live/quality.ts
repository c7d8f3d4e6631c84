/** How somebody's network is: taken from what arrives of their sound and video, over the last seconds and not for ever. */
import { copyMediaCounters, parseMediaCounters, readMediaCounters, type MediaCounters } from '../../../freeswitch/esl';
import type { Db } from '../../../infra/stores/db';
import type { Logger } from '../../../infra/logger';
import { storeClock } from '../../../infra/store-clock';
import type { NodeConnections } from '../../nodes/connections/node-connections';
import type { LiveBoard, QualityClass } from './live-state';
import { listPeopleOfSessions, saveQuality } from '../control/control.store';
import { listLivingSessions } from '../sessions/sessions.store';
import type { ParticipantRow } from '../participants/participants.store';

export interface Quality {
  class: QualityClass;
  /** Of what arrived or should have arrived since the sample before; FreeSWITCH counts losses in a row twice. */
  audioLossPercent: number;
  videoLossPercent: number | null;
  audioPacketsPerSecond: number;
  videoKbps: number | null;
  /** Since they entered, by FreeSWITCH's own formula: 1 to 4.5. */
  mos: number | null;
  sampledAt: string;
}

export interface Sample {
  counters: MediaCounters;
  atMs: number;
}

const FAIR_LOSS_PERCENT = 2;
const POOR_LOSS_PERCENT = 8;
/** Video shows its losses less: it is asked for again. */
const FAIR_VIDEO_LOSS_PERCENT = 4;
const POOR_VIDEO_LOSS_PERCENT = 15;
/** Sound comes at 50 packets a second, of some phones at 33; less than this is a line that stands still. */
const STILL_PACKETS_PER_SECOND = 5;

const lossPercent = (packets: number, flaws: number): number =>
  packets + flaws > 0 ? Math.min(100, Math.round((1000 * flaws) / (packets + flaws)) / 10) : 0;

/** @returns undefined where the two samples tell nothing: no sound yet, or another channel */
export function judgeQuality(before: Sample, now: Sample): Quality | undefined {
  const seconds = (now.atMs - before.atMs) / 1000;
  const [a, b] = [before.counters, now.counters];
  if (seconds <= 0 || !a.audio || !b.audio || b.audio.packets < a.audio.packets) return undefined;
  const packets = b.audio.packets - a.audio.packets;
  const audioLoss = lossPercent(packets, Math.max(0, b.audio.flaws - a.audio.flaws));
  const hasVideo = a.video !== null && b.video !== null && b.video.packets > a.video.packets;
  const videoLoss = hasVideo
    ? lossPercent(b.video!.packets - a.video!.packets, Math.max(0, b.video!.flaws - a.video!.flaws))
    : null;
  const isStill = packets / seconds < STILL_PACKETS_PER_SECOND;
  const isPoor = isStill || audioLoss >= POOR_LOSS_PERCENT || (videoLoss ?? 0) >= POOR_VIDEO_LOSS_PERCENT;
  const isFair = audioLoss >= FAIR_LOSS_PERCENT || (videoLoss ?? 0) >= FAIR_VIDEO_LOSS_PERCENT;
  return {
    class: isPoor ? 'poor' : isFair ? 'fair' : 'good',
    audioLossPercent: audioLoss,
    videoLossPercent: videoLoss,
    audioPacketsPerSecond: Math.round(packets / seconds),
    videoKbps: hasVideo ? Math.round((8 * (b.video!.bytes - a.video!.bytes)) / seconds / 1000) : null,
    mos: b.mos,
    sampledAt: new Date(now.atMs).toISOString(),
  };
}

export interface QualityDeps {
  db: Db;
  links: Pick<NodeConnections, 'api'>;
  live: LiveBoard;
  logger: Logger;
}

export interface QualitySampler {
  /** Asks a node about everybody who is in its rooms. Call it every few seconds, on one replica for each node. */
  sample(nodeId: string): Promise<void>;
}

const AT_ONCE = 8;

export function createQualitySampler(deps: QualityDeps): QualitySampler {
  /** By channel: one who comes again is counted from the start. */
  const samples = new Map<string, Map<string, Sample>>();

  async function sampleOne(nodeId: string, p: ParticipantRow, kept: Map<string, Sample>, old: Map<string, Sample>) {
    const legId = p.leg_id!;
    const [copied, read] = await Promise.all([
      deps.links.api(nodeId, copyMediaCounters(legId)),
      deps.links.api(nodeId, readMediaCounters(legId)),
    ]);
    const counters = copied.ok && read.ok ? parseMediaCounters(read.text) : undefined;
    if (!counters) return;
    const now = { counters, atMs: storeClock.nowMs() };
    kept.set(legId, now);
    const before = old.get(legId);
    const quality = before && judgeQuality(before, now);
    if (!quality) return;
    await saveQuality(deps.db, p.id, legId, quality as unknown as Record<string, unknown>);
    if (p.quality?.class !== quality.class) {
      deps.live.setQuality({ id: p.session_id, room_id: p.room_id }, p.id, quality.class);
    }
  }

  return {
    async sample(nodeId) {
      const sessions = await listLivingSessions(deps.db, nodeId);
      const people = await listPeopleOfSessions(
        deps.db,
        sessions.map((s) => s.id),
      );
      const old = samples.get(nodeId) ?? new Map<string, Sample>();
      const kept = new Map<string, Sample>();
      const queue = people.filter((p) => p.leg_id !== null);
      const work = async (): Promise<void> => {
        for (let p = queue.shift(); p; p = queue.shift()) await sampleOne(nodeId, p, kept, old);
      };
      await Promise.all(Array.from({ length: AT_ONCE }, work));
      samples.set(nodeId, kept);
    },
  };
}
