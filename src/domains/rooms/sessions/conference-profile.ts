/** Gives a node a room's profile, if the room is its own: a node that was cut off can't run a twin of it. */
import { LRUCache } from 'lru-cache';
import { isUnreachable, type Queryable } from '../../../infra/stores/db';
import type { RoomConfiguration } from '../../../freeswitch/xml';
import type { NodeRow } from '../../nodes/nodes.store';
import { listCustomLayouts } from '../layouts/layouts';
import { listImages } from '../images/images.store';
import { roomProfile } from './profile';
import { findOwnedSession } from './sessions.store';
import { isMixed, readSettings } from '../settings';

/** Sessions whose last answer is kept for the time in which Postgres is away. */
const REMEMBERED = 2000;

export type AnswerRoomConfiguration = (
  node: Pick<NodeRow, 'id'>,
  sessionId: string,
) => Promise<RoomConfiguration | 'refused'>;

/**
 * A node asks when a room starts, again for every member that enters (with `Action=request-controls` where members have
 * keys), and once for the layouts: all are answered alike.
 * @returns what answers with the profile of a session that is the node's, or refuses. It throws where neither can be
 * known: Postgres is away and the session was never answered before.
 */
export function createRoomConfiguration(db: Queryable): AnswerRoomConfiguration {
  const remembered = new LRUCache<string, RoomConfiguration>({ max: REMEMBERED });

  async function check(nodeId: string, sessionId: string): Promise<RoomConfiguration | 'refused'> {
    const session = await findOwnedSession(db, sessionId, nodeId);
    if (!session) return 'refused';
    const settings = readSettings(session.settings);
    const layouts = await listCustomLayouts(db, session.domain_id);
    const profile = roomProfile(settings, session);
    if (!isMixed(settings)) return { profile, layouts };
    const hasBackground = (await listImages(db, session.room_id)).some(({ kind }) => kind === 'background');
    return { profile, layouts, images: { sessionId: session.id, hasBackground } };
  }

  return async (node, sessionId) => {
    const key = `${node.id}\n${sessionId}`;
    try {
      const answer = await check(node.id, sessionId);
      if (answer === 'refused') remembered.delete(key);
      else remembered.set(key, answer);
      return answer;
    } catch (error) {
      const known = isUnreachable(error) ? remembered.get(key) : undefined;
      if (!known) throw error;
      return known;
    }
  };
}
