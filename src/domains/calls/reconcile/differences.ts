/** Tells which channels of a node say something new: of a hundred calls that stand, a comparison should touch none. */
import type { ChannelRow } from '../../../freeswitch/esl';
import type { Queryable } from '../../../infra/stores/db';
import { listLiveCallIds, type LegRow } from '../calls.store';
import { movesLeg } from '../events/channel-events';

const PHASES: Record<string, 'progress' | 'answered'> = {
  RINGING: 'progress',
  EARLY: 'progress',
  ACTIVE: 'answered',
  HELD: 'answered',
};

/** What a channel's event would have been, had it been seen; undefined: only that it was made. */
export const phaseOf = (channel: Pick<ChannelRow, 'callState'>): 'progress' | 'answered' | undefined =>
  PHASES[channel.callState];

/** Whether its leg is unknown, or in a state behind the channel's. */
function isNews(
  channel: Pick<ChannelRow, 'callState'>,
  leg: Pick<LegRow, 'state' | 'held_since'> | undefined,
): boolean {
  if (!leg) return true;
  if (channel.callState === 'HELD' && leg.state === 'answered' && leg.held_since === null) return true;
  const phase = phaseOf(channel);
  return phase !== undefined && movesLeg(leg, { phase });
}

/** Channels of calls that are over or unknown, and those that tell more than their legs: all in one look. */
export async function listNews(
  db: Queryable,
  channels: readonly (ChannelRow & { callId: string })[],
  liveLegs: readonly LegRow[],
): Promise<ChannelRow[]> {
  const legs = new Map(liveLegs.map((leg) => [leg.id, leg]));
  const live = await listLiveCallIds(db, [...new Set(channels.map((channel) => channel.callId))]);
  return channels.filter((channel) => !live.has(channel.callId) || isNews(channel, legs.get(channel.legId)));
}
