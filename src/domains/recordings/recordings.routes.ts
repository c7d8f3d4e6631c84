/** The REST of recordings: schemas that validate and document, and nothing else. */
import { z } from 'zod';
import { makePage, pageOf, pageQuery, readCursor } from '../../infra/pagination';
import { defineRoute, type Caller, type Route } from '../../infra/route';
import { plainText } from '../../infra/text/plain-text';
import type { RecordingDeps } from './control/transition';
import { choosePieces, sendPieces } from './playback/playback';
import { listParts } from './parts.store';
import {
  actOnCallRecording,
  actOnRecording,
  recordRoomOf,
  removeRecording,
  requireRecording,
  retryRecording,
  setExpiry,
  type RecordingAction,
} from './recordings';
import { listRecordingRows } from './recordings.store';
import { recordingSchema, presentRecordings } from './view';

export interface RecordingRouteDeps extends RecordingDeps {
  /** Finds a domain by its name or id as far as the caller may see it. @throws not_found */
  findDomain: (nameOrId: string, caller: Caller) => Promise<{ id: string; name: string }>;
}

const idParams = z.object({ id: z.uuid() });
const one = { path: '/v1/recordings/{id}', tag: 'Recordings', scope: 'domain', params: idParams } as const;
const wanted = {
  keepDays: z.number().int().min(1).max(36_500).optional().describe('Deleted this many days after it is complete.'),
  metadata: z.record(z.string().max(64), plainText({ max: 1024 })).optional(),
};
const stateName = recordingSchema.shape.state;

export function recordingRoutes(deps: RecordingRouteDeps): Route[] {
  return [...beginRoutes(deps), ...readRoutes(deps), ...actionRoutes(deps)];
}

function beginRoutes(deps: RecordingRouteDeps): Route[] {
  return [
    defineRoute({
      method: 'post',
      path: '/v1/rooms/{id}/recordings',
      tag: 'Recordings',
      summary: 'Record a room',
      description:
        'Returns at once; the event `recording.recording` follows when the node writes. Each pause ends a part, each resume starts ' +
        'the next one; a room that moves continues in a new part on the other node.',
      scope: 'domain',
      params: idParams,
      body: z.strictObject({
        format: z.enum(['mp4', 'wav']).default('mp4').describe('mp4: the mixed video with audio. wav: audio only.'),
        ...wanted,
      }),
      answers: { 201: recordingSchema },
      errors: ['conflict', 'feature_missing', 'quota_exceeded'],
      handle: async ({ params, body, caller }) => {
        const recording = await recordRoomOf(deps, params.id, caller, body);
        return { status: 201, body: recording, headers: { Location: `/v1/recordings/${recording.id}` } };
      },
    }),
    defineRoute({
      method: 'post',
      path: '/v1/calls/{id}/record',
      tag: 'Recordings',
      summary: 'Record a call, in stereo: "from" on the left, what it hears on the right',
      scope: 'domain',
      params: idParams,
      body: z.strictObject({
        action: z.enum(['start', 'stop', 'pause', 'resume']).default('start'),
        format: z.enum(['wav', 'mp4']).default('wav').describe('mp4 contains the video of "from", if it sends any.'),
        ...wanted,
      }),
      answers: { 200: recordingSchema },
      errors: ['conflict', 'feature_missing', 'quota_exceeded'],
      handle: async ({ params, body, caller }) => ({ body: await actOnCallRecording(deps, params.id, caller, body) }),
    }),
  ];
}

function readRoutes(deps: RecordingRouteDeps): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/v1/recordings',
      tag: 'Recordings',
      summary: 'List recordings, newest first',
      description: 'Deleted and expired recordings can only be read by id.',
      scope: 'domain',
      query: z.strictObject({
        domain: z.string().max(253).optional(),
        roomId: z.uuid().optional(),
        callId: z.uuid().optional(),
        state: stateName.optional(),
        ...pageQuery,
      }),
      answers: { 200: pageOf(recordingSchema) },
      handle: async ({ query, caller }) => {
        const domain = query.domain ? await deps.findDomain(query.domain, caller) : undefined;
        const { roomId, callId, state, limit } = query;
        const domainId = domain?.id ?? caller.domainId ?? undefined;
        const before = readCursor(query.cursor);
        const rows = await listRecordingRows(deps.db, { domainId, roomId, callId, state, before, limit: limit + 1 });
        const views = await presentRecordings(deps.db, rows, deps.now());
        return { body: makePage(views, limit, (view) => view) };
      },
    }),
    defineRoute({
      ...one,
      method: 'get',
      summary: 'Read a recording with its ledger',
      description: 'Its parts with times, bytes and checksums, its gaps with reasons, and how complete it is.',
      answers: { 200: recordingSchema },
      handle: async ({ params, caller }) => {
        const row = await requireRecording(deps, params.id, caller);
        return { body: (await presentRecordings(deps.db, [row], deps.now()))[0] };
      },
    }),
    defineRoute({
      ...one,
      method: 'get',
      path: '/v1/recordings/{id}/media',
      summary: 'Download a recording, whole or in ranges',
      description:
        'Without `part`, a recording with one part is sent as it is, and the parts of a wav are joined. The parts of an ' +
        "mp4 can't be joined: 409 lists them. A part that can't be played gets 409 with the reason.",
      query: z.strictObject({
        part: z.coerce.number().int().min(1).max(100_000).optional(),
        damaged: z
          .enum(['true', 'false'])
          .optional()
          .describe("true: send a part that can't be played as it is, for repair programs."),
      }),
      answers: { 200: z.string().meta({ format: 'binary' }) },
      errors: ['conflict', 'gone', 'not_found'],
      produces: 'application/octet-stream',
      handle: async ({ params, query, caller, request, response }) => {
        const recording = await requireRecording(deps, params.id, caller);
        const parts = await listParts(deps.db, [recording.id]);
        const pieces = await choosePieces(deps, recording, parts, query.part, query.damaged === 'true');
        await sendPieces(deps.storage, { request, response, recording, pieces, part: query.part });
        return undefined;
      },
    }),
  ];
}

function actionRoutes(deps: RecordingRouteDeps): Route[] {
  const action = (name: RecordingAction, summary: string) =>
    defineRoute({
      ...one,
      method: 'post',
      path: `/v1/recordings/{id}/${name}`,
      summary,
      body: z.strictObject({}),
      answers: { 200: recordingSchema },
      errors: ['conflict'],
      handle: async ({ params, caller }) => {
        const { id } = await requireRecording(deps, params.id, caller);
        return { body: await actOnRecording(deps, id, name) };
      },
    });
  return [
    action('stop', 'End a recording'),
    action('pause', 'Pause a recording: its current part ends'),
    action('resume', 'Resume a recording, in a new part'),
    defineRoute({
      ...one,
      method: 'post',
      path: '/v1/recordings/{id}/retry',
      summary: 'Retry failed uploads from nodes',
      body: z.strictObject({}),
      answers: { 200: recordingSchema },
      errors: ['conflict'],
      handle: async ({ params, caller }) => {
        const { id } = await requireRecording(deps, params.id, caller);
        return { body: await retryRecording(deps, id) };
      },
    }),
    defineRoute({
      ...one,
      method: 'patch',
      summary: 'Change how long a recording is kept',
      body: z.strictObject({ expiresAt: z.iso.datetime().nullable().describe('null: until it is deleted.') }),
      answers: { 200: recordingSchema },
      handle: async ({ params, body, caller }) => {
        const { id } = await requireRecording(deps, params.id, caller);
        return { body: await setExpiry(deps, id, body.expiresAt === null ? null : new Date(body.expiresAt)) };
      },
    }),
    defineRoute({
      ...one,
      method: 'delete',
      summary: "Delete a recording's files; its ledger stays readable",
      answers: { 204: null },
      errors: ['conflict'],
      handle: async ({ params, caller }) => {
        const { id } = await requireRecording(deps, params.id, caller);
        await removeRecording(deps, id, 'asked');
        return { status: 204 };
      },
    }),
  ];
}
