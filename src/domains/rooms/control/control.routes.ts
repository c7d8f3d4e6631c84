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
    text: plainText({ min: 1, max: 1000 }).optional().describe('Text that the node speaks.'),
    participantId: z.uuid().optional().describe('Play it only to this participant.'),
  })
  .refine(
    (b) => [b.file, b.tone, b.text].filter((x) => x !== undefined).length === 1,
    'must have exactly one of file, tone and text',
  );

export function controlRoutes(deps: ControlDeps): Route[] {
  return [...desiredStateRoutes(deps), ...soundRoutes(deps)];
}

function desiredStateRoutes(deps: ControlDeps): Route[] {
  return [
    defineRoute({
      ...of,
      method: 'put',
      path: '/v1/rooms/{id}/floor',
      summary: 'Give or release the video floor',
      description:
        'Layouts with a main tile show whoever holds the video floor in it. With `hold` the floor returns ' +
        'to this participant whenever somebody else gets it; without, it then follows the speakers. null releases it.',
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
      summary: 'List raised hands',
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
      description: 'Only moderators can join; participants stay.',
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
      summary: 'Change the video layout',
      description:
        'Applies to this session, also after a move; the room keeps its own layout for the next one. A layout created after the ' +
        'session started is unknown to its node: the change stays `pending`, and fails after some tries.',
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
      description: 'To everybody or to one participant. Sounds are queued: at most 20, and two minutes of tones.',
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
      summary: 'Stop playback',
      body: z.strictObject({
        participantId: z.uuid().optional().describe('Stop only what is played to this participant.'),
      }),
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
      summary: 'Get a snapshot of the mixed video',
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
      summary: 'Call a user into the room',
      description: 'Returns the queued call at once; the user joins when they answer.',
      body: z.strictObject({
        to: z.string().min(1).max(255).describe("user:NAME, or a user's digits. This pool has no gateway."),
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
