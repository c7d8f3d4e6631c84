/** The REST of a room's pictures, and what keeps them on the nodes, as one part for main to wire. */
import { z } from 'zod';
import { SwitchyardError } from '../../../errors';
import type { Redis } from '../../../infra/stores/redis';
import { defineRoute, type Route } from '../../../infra/route';
import { runEvery } from '../../../infra/flow/interval';
import { createLeaderLease } from '../../../infra/stores/leader-lease';
import type { RoomHooks } from '../sessions/listeners';
import { createPictureKeeper, type PictureKeeper } from './image-sync';
import { MAX_PICTURE_BYTES, pictureKind, PICTURE_TYPE, putPicture, removePicture, type PictureDeps } from './images';
import { findPicture } from './images.store';
import { pictureSchema } from '../rooms';
import { requireRoom } from '../require-room';

const SWEEP_EVERY_MS = 1500;
const LEASE_MS = 5000;

export interface Pictures {
  routes: Route[];
  /** For createImageEndpoint(). */
  deps: PictureDeps;
  stop(): Promise<void>;
}

/** @param o.sweeps this replica follows nodes, and keeps pictures where they belong */
export function createPictures(
  deps: PictureDeps & { redis: Redis; prefix: string; hooks: RoomHooks; sweeps: boolean },
): Pictures {
  const keeper = createPictureKeeper(deps);
  const { hooks } = deps;
  const forget = [
    hooks.onSessionLive(({ id }) => keeper.nudge(id)),
    hooks.onParticipantIn(({ id }) => keeper.nudge(id)),
    hooks.onParticipantLeft(({ id }) => keeper.nudge(id)),
  ];
  const lease = createLeaderLease(deps.redis, `${deps.prefix}:pictures`, LEASE_MS);
  const sweep = deps.sweeps
    ? runEvery('pictures of rooms', SWEEP_EVERY_MS, deps.logger, async () => {
        if (await lease.acquire()) await keeper.sweep();
      })
    : undefined;
  return {
    routes: pictureRoutes(deps, keeper),
    deps,
    async stop() {
      for (const off of forget) off();
      await sweep?.stop();
      if (sweep) await lease.release();
      await keeper.stop();
    },
  };
}

const changedPicture = pictureSchema
  .extend({
    pending: z
      .array(z.string())
      .describe('`background.picture` or `welcome.picture` where the session that is going on does not show it (yet).'),
  })
  .meta({ id: 'ChangedPicture' });

function pictureRoutes(deps: PictureDeps, keeper: PictureKeeper): Route[] {
  const path = '/v1/rooms/{id}/pictures/{kind}';
  const params = z.object({ id: z.uuid(), kind: pictureKind });
  const of = { path, tag: 'Rooms', scope: 'domain', params } as const;
  return [
    defineRoute({
      ...of,
      method: 'put',
      summary: 'Give a room a picture',
      description:
        '`background` lies behind the participants; `welcome` lies over all while somebody is alone, or waits for the ' +
        'moderator. PNG of 16x16 to 1920x1080 and 2 MB; it is fitted into the canvas. The body is the file itself; what it holds ' +
        'beside the picture (colour profiles, text, camera data) is left out, and is not in the file that is read back.',
      file: { types: [PICTURE_TYPE], maxBytes: MAX_PICTURE_BYTES },
      answers: { 200: changedPicture },
      errors: ['unprocessable'],
      handle: async ({ params: { id, kind }, caller, file }) => {
        const room = await requireRoom(deps.db, caller, id);
        return { body: await putPicture(deps, (session) => keeper.bring(session), room, { kind, ...file! }) };
      },
    }),
    defineRoute({
      ...of,
      method: 'get',
      summary: 'Read a picture of a room',
      answers: { 200: z.string().meta({ format: 'binary' }) },
      produces: PICTURE_TYPE,
      handle: async ({ params: { id, kind }, caller, response }) => {
        const room = await requireRoom(deps.db, caller, id);
        const picture = await findPicture(deps.db, room.id, kind);
        if (!picture) throw new SwitchyardError('not_found', 'The room has no such picture.');
        response.status(200).set({ 'Content-Type': picture.content_type }).send(picture.content);
        return undefined;
      },
    }),
    defineRoute({
      ...of,
      method: 'delete',
      summary: 'Take a picture from a room',
      answers: { 204: null },
      handle: async ({ params: { id, kind }, caller }) => {
        const room = await requireRoom(deps.db, caller, id);
        await removePicture(deps, (session) => keeper.bring(session), room, kind);
        return { status: 204 };
      },
    }),
  ];
}
