/** What must be true when everything is healed and quiet; pure, so that each rule can be read by itself. */
import type { RoomState } from './look';

export interface Violation {
  rule: string;
  /** What is the same as long as it is the same violation. */
  key: string;
  text: string;
  callId?: string;
  roomId?: string;
}

type Found = Omit<Violation, 'rule' | 'key'> & { of: string };

const CALL_STATES_ON_A_NODE = ['placing', 'ringing', 'answered'];

const RULES: Record<string, (p: RoomState) => Found[]> = {
  'a live call that no node has': (p) =>
    p.calls
      .filter((call) => CALL_STATES_ON_A_NODE.includes(call.state))
      .filter((call) => !p.nodes.get(call.node ?? '')?.channels.some((c) => c.legId === call.leg_id))
      .map((call) => ({
        of: call.id,
        callId: call.id,
        text: `${call.origin} call ${call.id} ${call.from_address} → ${call.to_address} is ${call.state} on ${call.node ?? 'no node'} for ${call.age} s`,
      })),
  'a call that is stuck in the queue': (p) =>
    p.calls
      .filter((call) => call.state === 'queued')
      .map((call) => ({ of: call.id, callId: call.id, text: `call ${call.id} is queued for ${call.age} s` })),
  'a channel of no live call': (p) =>
    [...p.nodes].flatMap(([node, { channels }]) =>
      channels.flatMap((channel) => {
        const leg = p.knownLegs.get(channel.legId);
        const callId = leg?.call_id ?? channel.callId;
        if (callId && p.calls.some((call) => call.id === callId)) return [];
        const text = `channel ${channel.legId} (${channel.channelName}, ${channel.callState}) on ${node}: its call is ${leg ? leg.call_state : `unknown (${callId ?? 'no id'})`}`;
        return [{ of: channel.legId, callId, text }];
      }),
    ),
  'a leg that no node has': (p) =>
    p.legs
      .filter((leg) => !p.nodes.get(leg.node ?? '')?.channels.some((c) => c.legId === leg.id))
      .map((leg) => ({ of: leg.id, callId: leg.call_id, text: `leg ${leg.id} is ${leg.state} on ${leg.node ?? '?'}` })),
  'a room on two nodes': (p) => {
    const where = new Map<string, string[]>();
    for (const [node, { rooms }] of p.nodes) {
      for (const { name } of rooms) {
        const roomId = p.roomOfSession.get(name) ?? name;
        where.set(roomId, [...(where.get(roomId) ?? []), `${node} (session ${name})`]);
      }
    }
    return [...where]
      .filter(([, nodes]) => nodes.length > 1)
      .map(([roomId, nodes]) => ({ of: roomId, roomId, text: `room ${roomId} runs on ${nodes.join(' and ')}` }));
  },
  'a room that its node may not run': (p) =>
    [...p.nodes].flatMap(([node, { rooms }]) =>
      rooms
        .filter((room) => !p.sessions.some((s) => s.id === room.name && s.node === node))
        .map((room) => ({
          of: room.name,
          roomId: p.roomOfSession.get(room.name),
          text: `${node} runs session ${room.name} with ${room.members.length} members`,
        })),
    ),
  'a session without its lease or its node': (p) =>
    p.sessions
      .filter((s) => !s.node || s.lease_session !== s.id || s.lease_node !== s.node)
      .map((s) => ({
        of: s.id,
        roomId: s.room_id,
        text: `session ${s.id} is ${s.state} on ${s.node ?? 'no node'}; the lease is ${s.lease_session ?? 'nobody'}'s on ${s.lease_node ?? 'no node'}`,
      })),
  'a live session that no node has': (p) =>
    p.sessions
      .filter((s) => s.state === 'live' && !p.nodes.get(s.node ?? '')?.rooms.some((r) => r.name === s.id))
      .map((s) => ({ of: s.id, roomId: s.room_id, text: `session ${s.id} is live on ${s.node ?? 'no node'}` })),
  'a participant whom no node has': (p) =>
    p.participants
      .filter(
        (one) => ![...p.nodes.values()].some((n) => n.rooms.some((r) => r.members.some((m) => m.legId === one.leg_id))),
      )
      .map((one) => ({
        of: one.id,
        callId: one.call_id ?? undefined,
        text: `participant ${one.id} (${one.identity}) is ${one.state} in session ${one.session_id} with leg ${one.leg_id ?? 'none'}`,
      })),
  'a member whom nobody knows': (p) =>
    [...p.nodes].flatMap(([node, { rooms }]) =>
      rooms.flatMap((room) =>
        room.members
          .filter((m) => !p.participants.some((one) => one.leg_id === m.legId && one.state === 'in'))
          .map((m) => ({
            of: m.legId,
            roomId: p.roomOfSession.get(room.name),
            callId: p.knownLegs.get(m.legId)?.call_id,
            text: `member ${m.memberId} (${m.legId}) in session ${room.name} on ${node}`,
          })),
      ),
    ),
  'a claim of nothing that lives': (p) =>
    p.claims
      .filter(
        (claim) =>
          !p.calls.some((call) => call.id === claim.id && call.node === claim.node) &&
          !p.sessions.some((s) => s.id === claim.id && s.node === claim.node),
      )
      .map((claim) => ({
        of: `${claim.node} ${claim.id}`,
        callId: claim.id,
        text: `${claim.id} holds ${claim.units / 1000} units of ${claim.node}`,
      })),
  'claims that do not add up': (p) =>
    p.claimTotals
      .map(({ node, total }) => ({
        node,
        total,
        sum: p.claims.filter((claim) => claim.node === node).reduce((all, claim) => all + claim.units, 0),
      }))
      .filter(({ total, sum }) => total !== sum)
      .map(({ node, total, sum }) => ({ of: node, text: `${node}: the total is ${total}, its claims make ${sum}` })),
  'a recording that is stuck': (p) =>
    p.recordings
      .filter((r) => r.state !== 'recording')
      .map((r) => ({ of: r.id, text: `${r.kind} recording ${r.id} is ${r.state} (parts: ${r.parts})` })),
  'a node that does not serve': (p) =>
    [...p.nodes]
      .filter(([, n]) => n.state !== 'serving')
      .map(([node, n]) => ({ of: node, text: `${node} is ${n.state}` })),
};

/** Rules for the end, after everybody was hung up: nothing is left at all. */
const RULES_OF_THE_END: Record<string, (p: RoomState) => Found[]> = {
  'a call that does not end': (p) =>
    p.calls.map((call) => ({
      of: call.id,
      callId: call.id,
      text: `call ${call.id} is ${call.state} on ${call.node ?? '-'}`,
    })),
  'a channel that does not end': (p) =>
    [...p.nodes].flatMap(([node, { channels }]) =>
      channels.map((c) => ({ of: c.legId, callId: c.callId, text: `channel ${c.legId} on ${node}` })),
    ),
  'a session that does not end': (p) =>
    p.sessions.map((s) => ({ of: s.id, roomId: s.room_id, text: `session ${s.id} is ${s.state} on ${s.node ?? '-'}` })),
  'a claim that is left': (p) =>
    p.claims.map((c) => ({ of: c.id, callId: c.id, text: `${c.id} holds ${c.units / 1000} units of ${c.node}` })),
  'a recording that does not end': (p) =>
    p.recordings.map((r) => ({ of: r.id, text: `${r.kind} recording ${r.id} is ${r.state} (parts: ${r.parts})` })),
};

export function findViolations(roomState: RoomState, atTheEnd: boolean): Violation[] {
  const rules = atTheEnd ? { ...RULES, ...RULES_OF_THE_END } : RULES;
  return Object.entries(rules).flatMap(([rule, find]) =>
    find(roomState).map(({ of, ...found }) => ({ rule, key: `${rule}: ${of}`, ...found })),
  );
}
