/** The REST of a room's images, and what keeps them on the nodes, as one part for main to wire. */
import { z } from 'zod';
import { SwitchyardError } from '../../../errors';
import type { Redis } from '../../../infra/stores/redis';
import { defineRoute, type Route } from '../../../infra/route';
import { runEvery } from '../../../infra/flow/interval';
import { createLeaderLease } from '../../../infra/stores/leader-lease';
import type { RoomHooks } from '../sessions/listeners';
import { createImageSync, type ImageSync } from './image-sync';
import { MAX_IMAGE_BYTES, imageKind, IMAGE_TYPE, putImage, removeImage, type ImageDeps } from './images';
import { findImage } from './images.store';
import { imageSchema } from '../rooms';
import { requireRoom } from '../require-room';

const SWEEP_EVERY_MS = 1500;
const LEASE_MS = 5000;

export interface RoomImages {
  routes: Route[];
  /** For createImageEndpoint(). */
  deps: ImageDeps;
  stop(): Promise<void>;
}

/** @param o.sweeps this replica follows nodes, and keeps images where they belong */
export function createRoomImages(
  deps: ImageDeps & { redis: Redis; prefix: string; hooks: RoomHooks; sweeps: boolean },
): RoomImages {
  const keeper = createImageSync(deps);
  const { hooks } = deps;
  const forget = [
    hooks.onSessionLive(({ id }) => keeper.nudge(id)),
    hooks.onParticipantIn(({ id }) => keeper.nudge(id)),
    hooks.onParticipantLeft(({ id }) => keeper.nudge(id)),
  ];
  const lease = createLeaderLease(deps.redis, `${deps.prefix}:images`, LEASE_MS);
  const sweep = deps.sweeps
    ? runEvery('images of rooms', SWEEP_EVERY_MS, deps.logger, async () => {
        if (await lease.acquire()) await keeper.sweep();
      })
    : undefined;
  return {
    routes: imageRoutes(deps, keeper),
    deps,
    async stop() {
      for (const off of forget) off();
      await sweep?.stop();
      if (sweep) await lease.release();
      await keeper.stop();
    },
  };
}

const changedImage = imageSchema
  .extend({
    pending: z
      .array(z.string())
      .describe("`background.image` or `welcome.image` if the current session doesn't show it (yet)."),
  })
  .meta({ id: 'ChangedImage' });

function imageRoutes(deps: ImageDeps, keeper: ImageSync): Route[] {
  const path = '/v1/rooms/{id}/images/{kind}';
  const params = z.object({ id: z.uuid(), kind: imageKind });
  const of = { path, tag: 'Rooms', scope: 'domain', params } as const;
  return [
    defineRoute({
      ...of,
      method: 'put',
      summary: "Upload a room's image",
      description:
        '`background` is shown behind the participants; `welcome` covers everything while one is alone or waits for the ' +
        'moderator. A PNG of 16x16 to 1920x1080, at most 2 MB; it is scaled into the canvas. The body is the file itself; its ' +
        'metadata (colour profiles, text, camera data) is removed, and is not in the file that GET returns.',
      file: { types: [IMAGE_TYPE], maxBytes: MAX_IMAGE_BYTES },
      answers: { 200: changedImage },
      errors: ['unprocessable'],
      handle: async ({ params: { id, kind }, caller, file }) => {
        const room = await requireRoom(deps.db, caller, id);
        return { body: await putImage(deps, (session) => keeper.bring(session), room, { kind, ...file! }) };
      },
    }),
    defineRoute({
      ...of,
      method: 'get',
      summary: "Read a room's image",
      answers: { 200: z.string().meta({ format: 'binary' }) },
      produces: IMAGE_TYPE,
      handle: async ({ params: { id, kind }, caller, response }) => {
        const room = await requireRoom(deps.db, caller, id);
        const image = await findImage(deps.db, room.id, kind);
        if (!image) throw new SwitchyardError('not_found', 'The room has no such image.');
        response.status(200).set({ 'Content-Type': image.content_type }).send(image.content);
        return undefined;
      },
    }),
    defineRoute({
      ...of,
      method: 'delete',
      summary: "Delete a room's image",
      answers: { 204: null },
      handle: async ({ params: { id, kind }, caller }) => {
        const room = await requireRoom(deps.db, caller, id);
        await removeImage(deps, (session) => keeper.bring(session), room, kind);
        return { status: 204 };
      },
    }),
  ];
}
