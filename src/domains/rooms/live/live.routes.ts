/** GET /v1/rooms/{id}/live: who talks, who has the floor and how the network is, as it happens and without numbers. */
import type { Response } from 'express';
import { z } from 'zod';
import { SwitchyardError } from '../../../errors';
import { defineRoute, type Caller, type Route } from '../../../infra/route';
import type { StreamPlaces } from '../../quotas/streams';
import type { LiveMessage } from './live-state';
import { roomParams } from '../participants/participants.routes';
import { presentRoomState, type ControlDeps } from '../control/participants';
import { keepStream, openSseStream } from '../../../infra/sse';
import { requireRoom } from '../require-room';

export interface LiveRouteDeps extends ControlDeps {
  /** Is this key or token still good? */
  authenticate: (bearer: string) => Promise<Caller | undefined>;
  onKeyRevoked: (listener: (apiKeyId: string) => void) => () => void;
  heartbeatMs?: number;
  /** Says who may open one more stream. */
  streams: Pick<StreamPlaces, 'take'>;
}

const HEARTBEAT_MS = 15_000;
/** Several come and go at once: the state is read once for all of them. */
const STATE_PAUSE_MS = 200;

export function liveRoutes(deps: LiveRouteDeps): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/v1/rooms/{id}/live',
      tag: 'Live rooms',
      summary: 'Follow a room live',
      description: [
        'Server-Sent Events: first `state` (as GET participants), repeated whenever a participant joins or leaves; then',
        '`participant.talking`, `participant.quality` and `floor` (at most twice a second). These events have no numbers and are',
        'not stored: after a reconnect, `state` is current. Events that must not be missed are at /v1/events.',
      ].join(' '),
      scope: 'domain',
      params: roomParams,
      answers: { 200: z.string() },
      produces: 'text/event-stream',
      errors: ['rate_limited', 'quota_exceeded'],
      handle: async ({ params, caller, bearer, response }) => {
        const room = await requireRoom(deps.db, caller, params.id);
        const place = await deps.streams.take(caller);
        try {
          await follow(deps, response, room.id, caller, bearer);
        } finally {
          place.giveBack();
        }
        return undefined;
      },
    }),
  ];
}

/** Runs until the reader is gone, its key is dead, or the room is deleted. */
async function follow(
  deps: LiveRouteDeps,
  response: Response,
  roomId: string,
  caller: Caller,
  bearer: string,
): Promise<void> {
  const stream = openSseStream(response);
  const end = (): void => void response.end();
  // A reader that is behind is not sent more: what it misses is in the next state.
  let isBehind = false;
  const send = (type: string, data: unknown): void => {
    if (stream.isBehind()) isBehind = true;
    else stream.write(`event: ${type}\ndata: ${JSON.stringify(data)}\n\n`);
  };
  let timer: NodeJS.Timeout | undefined;
  const sendState = async (): Promise<void> => {
    timer = undefined;
    try {
      send('state', await presentRoomState(deps, await requireRoom(deps.db, caller, roomId)));
    } catch (error) {
      if (error instanceof SwitchyardError && error.code === 'not_found') end();
    }
  };
  const later = (): void => {
    timer ??= setTimeout(() => void sendState(), STATE_PAUSE_MS);
  };
  const unlisten = deps.live.listen(roomId, (message: LiveMessage) => {
    if (message.type === 'state') later();
    else send(message.type, message.data);
  });
  response.on('drain', () => {
    if (isBehind) later();
    isBehind = false;
  });
  const stopKeeping = keepStream({
    heartbeatMs: deps.heartbeatMs ?? HEARTBEAT_MS,
    beat: () => stream.beat(),
    stillValid: async () => Boolean(await deps.authenticate(bearer)),
    onRevoked: (listener) => deps.onKeyRevoked((revoked) => revoked === caller.apiKeyId && listener()),
    end,
  });
  try {
    await sendState();
    await new Promise<void>((resolve) => {
      if (!stream.isOpen()) return resolve();
      response.once('close', resolve);
      response.once('finish', resolve);
    });
  } finally {
    stopKeeping();
    clearTimeout(timer);
    unlisten();
    end();
  }
}
