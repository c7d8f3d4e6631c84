/** The REST of a room as a whole while people are in it. */
import { z } from 'zod';
import { plainText } from '../../../infra/text/plain-text';
import { defineRoute, type Route } from '../../../infra/route';
import { soundFile, tones } from '../../calls/playable';
import { liveSessionSchema, participantSchema } from '../participants/view';
import { roomParams } from '../participants/participants.routes';
import {
  callNext,
  chooseLayout,
  dialOut,
  play,
  setFloor,
  setLock,
  presentHands,
  stopPlaying,
  type PlayRequest,
} from './room';
import { layoutChoice } from '../settings';
import { takeSnapshot } from './snapshot';
import { type ControlDeps } from './participants';
import { requireRoom } from '../require-room';

const of = { tag: 'Live rooms', scope: 'domain', params: roomParams } as const;

const playBody = z
  .strictObject({
    file: soundFile.optional(),
    tone: tones.optional(),
    text: plainText({ min: 1, max: 1000 }).optional().describe('Spoken by the node, in its voice.'),
    participantId: z.uuid().optional().describe('Only they hear it.'),
  })
  .refine((b) => [b.file, b.tone, b.text].filter((x) => x !== undefined).length === 1, 'one of file, tone and text');

export function controlRoutes(deps: ControlDeps): Route[] {
  return [...desiredStateRoutes(deps), ...soundRoutes(deps)];
}

function desiredStateRoutes(deps: ControlDeps): Route[] {
  return [
    defineRoute({
      ...of,
      method: 'put',
      path: '/v1/rooms/{id}/floor',
      summary: 'Give the floor to somebody, or let it go',
      description:
        'Who has the floor of the video is shown large by layouts that have such a place. With `hold` it is given back ' +
        'to them whenever somebody else takes it; without, it follows the voices from then on. null lets it go.',
      body: z
        .strictObject({
          participantId: z.uuid().nullable(),
          audio: z.boolean().default(true),
          video: z.boolean().default(true),
          hold: z.boolean().default(true),
        })
        .refine((b) => b.audio || b.video, 'audio, video or both'),
      answers: { 200: liveSessionSchema },
      errors: ['conflict', 'unprocessable'],
      handle: async ({ params, body, caller }) => ({
        body: await setFloor(deps, await requireRoom(deps.db, caller, params.id), body),
      }),
    }),
    defineRoute({
      ...of,
      method: 'get',
      path: '/v1/rooms/{id}/hands',
      summary: 'The queue of raised hands',
      answers: { 200: z.object({ items: z.array(participantSchema) }) },
      errors: ['conflict'],
      handle: async ({ params, caller }) => ({
        body: { items: await presentHands(deps, await requireRoom(deps.db, caller, params.id)) },
      }),
    }),
    defineRoute({
      ...of,
      method: 'post',
      path: '/v1/rooms/{id}/hands/next',
      summary: 'Give the floor to the next in the queue',
      body: z.strictObject({}),
      answers: { 200: z.object({ participant: participantSchema.nullable(), hands: z.array(participantSchema) }) },
      errors: ['conflict'],
      handle: async ({ params, caller }) => ({
        body: await callNext(deps, await requireRoom(deps.db, caller, params.id)),
      }),
    }),
    defineRoute({
      ...of,
      method: 'put',
      path: '/v1/rooms/{id}/lock',
      summary: 'Lock or unlock the session',
      description: 'Nobody but moderators gets in; those who are in stay.',
      body: z.strictObject({ locked: z.boolean() }),
      answers: { 200: liveSessionSchema },
      errors: ['conflict'],
      handle: async ({ params, body, caller }) => ({
        body: await setLock(deps, await requireRoom(deps.db, caller, params.id), body.locked),
      }),
    }),
    defineRoute({
      ...of,
      method: 'put',
      path: '/v1/rooms/{id}/layout',
      summary: 'Choose how the video is divided',
      description:
        'For this session, also after it moved; the room keeps its own for the next. A layout that was made after the ' +
        'session began is not known to its node yet: it is `pending`, and given up after some tries.',
      body: z.strictObject({ layout: layoutChoice }),
      answers: { 200: liveSessionSchema },
      errors: ['conflict', 'unprocessable'],
      handle: async ({ params, body, caller }) => ({
        body: await chooseLayout(deps, await requireRoom(deps.db, caller, params.id), body.layout),
      }),
    }),
  ];
}

function soundRoutes(deps: ControlDeps): Route[] {
  return [
    defineRoute({
      ...of,
      method: 'post',
      path: '/v1/rooms/{id}/play',
      summary: 'Play a sound, tones or spoken text',
      description:
        'To all, or to one. What is played waits for what is playing; 20 sounds, and two minutes of tones, may play or wait.',
      body: playBody,
      answers: { 202: null },
      errors: ['conflict', 'unprocessable', 'node_error', 'quota_exceeded'],
      handle: async ({ params, body, caller }) => {
        await play(deps, await requireRoom(deps.db, caller, params.id), body as PlayRequest, body.participantId);
        return { status: 202 };
      },
    }),
    defineRoute({
      ...of,
      method: 'post',
      path: '/v1/rooms/{id}/stop',
      summary: 'Stop what plays',
      body: z.strictObject({ participantId: z.uuid().optional().describe('What is played to them alone.') }),
      answers: { 200: z.object({ stopped: z.int() }) },
      errors: ['conflict', 'node_error'],
      handle: async ({ params, body, caller }) => ({
        body: await stopPlaying(deps, await requireRoom(deps.db, caller, params.id), body.participantId),
      }),
    }),
    defineRoute({
      ...of,
      method: 'get',
      path: '/v1/rooms/{id}/snapshot.png',
      summary: 'See the room: its mixed video at this moment',
      answers: { 200: z.string().meta({ format: 'binary' }) },
      produces: 'image/png',
      errors: ['conflict', 'node_error'],
      handle: async ({ params, caller, response }) => {
        const image = await takeSnapshot(deps, await requireRoom(deps.db, caller, params.id));
        response.status(200).set({ 'Content-Type': 'image/png', 'Cache-Control': 'no-store' }).send(image);
        return undefined;
      },
    }),
    defineRoute({
      ...of,
      method: 'post',
      path: '/v1/rooms/{id}/dial',
      summary: 'Call somebody into the room',
      description: 'Answers at once with the queued call; they are in the room when they answer.',
      body: z.strictObject({
        to: z.string().min(1).max(255).describe('user:NAME, or the digits of a user. This pool has no gateway.'),
        ringTimeoutSeconds: z.int().min(5).max(300).optional(),
      }),
      answers: { 201: z.record(z.string(), z.unknown()) },
      errors: ['unprocessable'],
      handle: async ({ params, body, caller }) => ({
        status: 201,
        body: await dialOut(deps, await requireRoom(deps.db, caller, params.id), body),
      }),
    }),
  ];
}
