/** Takes in a batch of reports of who is in which room: loaded at once, decided purely, written with one statement for each table. */
import { isId } from '../../../infra/ids';
import { storeClock } from '../../../infra/store-clock';
import type { Trx } from '../../../infra/stores/db';
import { endEmptySession, type Emit } from '../sessions/sessions';
import type { SessionRow } from '../sessions/sessions.store';
import {
  findParticipantsOfLegs,
  findSessions,
  lockParticipants,
  lockSessions,
  saveLiveSessions,
  saveMembers,
} from './member-batch.store';
import type { ParticipantDeps } from './member-events';
import type { ParticipantRow } from './participants.store';
import { reduceMembers, type Entered, type KnownMembers, type MemberChanges, type MemberFact } from './reduce-members';

/** In the order in which they came. May be given the same again. @throws where the database is away */
export async function handleMemberFacts(deps: ParticipantDeps, facts: readonly MemberFact[]): Promise<void> {
  for (const round of cutAtEnds(facts)) {
    const changes = await writeRound(deps, round);
    if (changes) await tellOthers(deps, changes);
  }
}

/** The end of a room is looked at when all before it is written; what comes behind it is of another room, or a new one. */
function cutAtEnds(facts: readonly MemberFact[]): MemberFact[][] {
  const rounds: MemberFact[][] = [];
  const roundOf = new Map<string, number>();
  for (const fact of facts) {
    const room = fact.event.type === 'room' ? fact.event.room : '';
    const at = roundOf.get(room) ?? 0;
    (rounds[at] ??= []).push(fact);
    if (fact.event.type === 'room' && fact.event.action === 'conference-destroy') roundOf.set(room, at + 1);
  }
  return rounds;
}

/** Facts that say nothing of who is in are most of what a room tells. */
const OF_MEMBERS: readonly string[] = ['conference-create', 'add-member', 'del-member', 'conference-destroy'];

async function writeRound(deps: ParticipantDeps, round: readonly MemberFact[]): Promise<MemberChanges | undefined> {
  const facts = round.filter(({ event }) =>
    event.type === 'channel' ? event.phase === 'hangup' : OF_MEMBERS.includes(event.action),
  );
  if (facts.length === 0) return undefined;
  const known = await load(deps, facts);
  const planned = reduceMembers(known, facts, storeClock.nowMs());
  if (planned.told.length === 0) return planned;
  // Only what changes is held, and looked at once more: somebody may have changed it meanwhile.
  const [sessionIds, participantIds] = [[...planned.sessions.keys()], [...planned.participants.keys()]];
  return deps.log.record(async (trx, emit) => {
    const held = {
      sessions: mergeById(known.sessions, await lockSessions(trx, sessionIds)),
      participants: mergeByLeg(known.participants, await lockParticipants(trx, participantIds), participantIds),
    };
    const changes = reduceMembers(held, facts, storeClock.nowMs());
    await saveLiveSessions(trx, [...changes.sessions.values()]);
    await saveMembers(trx, [...changes.participants.values()]);
    await tell(deps, trx, emit, changes);
    return changes;
  });
}

async function load(deps: ParticipantDeps, facts: readonly MemberFact[]): Promise<KnownMembers> {
  const legIds = new Set<string>();
  const rooms = new Set<string>();
  for (const { event } of facts) {
    if (event.legId && isId(event.legId)) legIds.add(event.legId);
    if (event.type === 'room' && isId(event.room)) rooms.add(event.room);
  }
  const participants = await findParticipantsOfLegs(deps.db, [...legIds]);
  for (const { session_id } of participants) rooms.add(session_id);
  const sessions = rooms.size === 0 ? [] : await findSessions(deps.db, [...rooms]);
  return { sessions: mergeById(new Map(), sessions), participants: mergeByLeg(new Map(), participants, []) };
}

const mergeById = (known: ReadonlyMap<string, SessionRow>, rows: readonly SessionRow[]): Map<string, SessionRow> =>
  new Map([...known, ...rows.map((row): [string, SessionRow] => [row.id, row])]);

/** @param held whose rows are these, wherever they were before: one that is gone, or has another leg, is not found by its old one */
function mergeByLeg(
  known: ReadonlyMap<string, ParticipantRow>,
  rows: readonly ParticipantRow[],
  held: readonly string[],
): Map<string, ParticipantRow> {
  const byLeg = new Map([...known].filter(([, { id }]) => !held.includes(id)));
  for (const row of rows) if (row.leg_id !== null) byLeg.set(row.leg_id, row);
  return byLeg;
}

/** Calls are changed in the order of their ids, as everywhere; what is told of them stands before their participant's own event. */
async function tell(deps: ParticipantDeps, trx: Trx, emit: Emit, { told }: MemberChanges): Promise<void> {
  const isEntered = (one: MemberChanges['told'][number]): one is Entered => 'participantId' in one;
  const ofCalls = new Map<Entered, Parameters<Emit>[0][]>();
  for (const one of told.filter(isEntered).sort((a, b) => (a.callId < b.callId ? -1 : 1))) {
    const drafts: Parameters<Emit>[0][] = [];
    await deps.onEntered(trx, (draft) => void drafts.push(draft), one.callId, one.at);
    ofCalls.set(one, drafts);
  }
  for (const one of told) {
    if (isEntered(one)) ofCalls.get(one)!.forEach(emit);
    else emit(one);
  }
}

async function tellOthers(deps: ParticipantDeps, changes: MemberChanges): Promise<void> {
  for (const { node, about, details } of changes.refusals) {
    if (about === 'room' && !('leg' in details))
      deps.logger.warn({ node: node.name, ...details }, 'a node runs a room that another node owns');
    deps.refuseReport?.(node, about, details);
  }
  for (const notice of changes.notices) {
    if (notice.kind === 'live') deps.hooks.sessionLive(notice.session);
    else if (notice.kind === 'in') deps.hooks.participantIn(notice.session, notice.participant);
    else deps.hooks.participantLeft(notice.session, notice.participant);
  }
  await Promise.all(changes.ended.map(({ sessionId, at }) => endEmptySession(deps, sessionId, at)));
  for (const { node, session, room } of changes.strangers) deps.onStranger(node, session, room);
}
