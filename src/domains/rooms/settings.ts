/** What a room can be told to be: every setting with its range and its default, in one place for REST and for nodes. */
import { z } from 'zod';

/** FreeSWITCH takes every word that begins with "group" for a group, and "list" for a question. */
export const LAYOUT_NAME = /^(?!group|list$)[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}$/i;
const LAYOUT_CHOICE = /^(group:[A-Za-z0-9_+-]{1,64}|(?!group|list$)[A-Za-z0-9][A-Za-z0-9_.+-]{0,63})$/i;

/** A layout, or `group:NAME`; whether there is such a one is looked up where it is set. */
export const layoutChoice = z
  .string()
  .regex(LAYOUT_CHOICE, 'must be the name of a layout, or group:NAME')
  .describe("Layout of the mixed video: a layout's name, or group:NAME for one that grows with the room.");

export const pin = z
  .string()
  .regex(/^[0-9]{4,12}$/, 'must be 4 to 12 digits')
  .nullable();

/** Played by the node itself from tones: no file is needed there. */
export const SOUND_NAMES = ['none', 'chime', 'beep', 'knock'] as const;
export type SoundName = (typeof SOUND_NAMES)[number];

const even = (min: number, max: number) => z.int().min(min).max(max).multipleOf(2);

const video = z.strictObject({
  width: even(320, 1920).describe('Size of the mixed video, in pixels.'),
  height: even(180, 1080),
  fps: z.int().min(5).max(30).describe('Frames per second.'),
  maxKbps: z.int().min(64).max(20_000).describe('Bandwidth of the mixed video that everybody receives.'),
  participantKbps: z
    .int()
    .min(64)
    .max(20_000)
    .nullable()
    .describe(
      'Maximum that one participant may send and receive; null: as the room. What they send changes at their next join.',
    ),
  mode: z
    .enum(['mixed', 'passthrough'])
    .describe("mixed: one composed video. passthrough: the floor holder's video, unchanged."),
});

const sounds = z.strictObject({
  entry: z.enum(SOUND_NAMES).describe('Played to the participants when somebody joins.'),
  exit: z.enum(SOUND_NAMES).describe('Played when somebody leaves.'),
});

const background = z.strictObject({
  color: z
    .string()
    .regex(/^#[0-9a-f]{6}$/i, 'must be a colour like #1b2430')
    .describe('Colour of empty canvas areas.'),
});

export const roomSettings = z.strictObject({
  layout: layoutChoice,
  video,
  audioOnly: z.boolean().describe('No video, neither sent nor mixed.'),
  maxParticipants: z.int().min(2).max(1000),
  waitForModerator: z.boolean().describe('Nobody is heard until a moderator joins.'),
  endWithModerator: z.boolean().describe('The session ends some seconds after its last moderator has left.'),
  locked: z.boolean().describe('Only moderators can join.'),
  mutedOnEntry: z.boolean().describe('Mutes everyone on entry except moderators.'),
  sounds,
  musicWhileAlone: z.boolean().describe('Plays hold music to someone who is alone or waiting for a moderator.'),
  record: z.boolean().describe('Record from the start of every session.'),
  background,
});

export type RoomSettings = z.output<typeof roomSettings>;

export const DEFAULT_SETTINGS: RoomSettings = {
  layout: 'group:grid',
  video: { width: 1280, height: 720, fps: 25, maxKbps: 2000, participantKbps: null, mode: 'mixed' },
  audioOnly: false,
  maxParticipants: 100,
  waitForModerator: false,
  endWithModerator: false,
  locked: false,
  mutedOnEntry: false,
  sounds: { entry: 'chime', exit: 'chime' },
  musicWhileAlone: true,
  record: false,
  background: { color: '#1b2430' },
};

/** What a request may say: any part; the rest stays, or is the default. */
export const settingsPatch = z.strictObject({
  ...roomSettings.partial().shape,
  video: video.partial().optional(),
  sounds: sounds.partial().optional(),
  background: background.partial().optional(),
});
export type SettingsPatch = z.output<typeof settingsPatch>;

/** @returns `base` with what the patch names put in its place; fields set to undefined count as not named. */
export function mergeSettings(base: RoomSettings, patch: SettingsPatch): RoomSettings {
  const merged = { ...base, ...named(patch) };
  return {
    ...merged,
    video: { ...base.video, ...named(patch.video ?? {}) },
    sounds: { ...base.sounds, ...named(patch.sounds ?? {}) },
    background: { ...base.background, ...named(patch.background ?? {}) },
  } as RoomSettings;
}

function named(object: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}

/**
 * What is stored, with defaults for what is not. A row of an older version may hold fields or values that are none any
 * more: they fall back, so that a room stays enterable.
 */
export function readSettings(stored: Record<string, unknown>): RoomSettings {
  const settings = structuredClone(DEFAULT_SETTINGS);
  return adopt(settings as unknown as Tree, roomSettings.shape, stored) as unknown as RoomSettings;
}

type Tree = Record<string, unknown>;

function adopt(into: Tree, shape: Record<string, z.ZodType>, from: Tree): Tree {
  for (const [name, schema] of Object.entries(shape)) {
    const value = from[name];
    if (value === undefined) continue;
    if (schema instanceof z.ZodObject && isTree(value)) adopt(into[name] as Tree, schema.shape, value);
    else if (schema.safeParse(value).success) into[name] = value;
  }
  return into;
}

const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null && !Array.isArray(value);

/** The settings by dotted name (`video.fps`), for saying which are different. */
function flattenSettings(settings: RoomSettings): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(settings).flatMap(([name, value]) =>
      isTree(value) ? Object.entries(value).map(([inner, v]) => [`${name}.${inner}`, v]) : [[name, value]],
    ),
  );
}

/** @returns the dotted names of what differs. */
export function changedSettings(before: RoomSettings, after: RoomSettings): string[] {
  const was = flattenSettings(before);
  return Object.entries(flattenSettings(after))
    .filter(([name, value]) => was[name] !== value)
    .map(([name]) => name);
}

/** True where a video is mixed: the node composes and encodes one for everybody. */
export const isMixed = (settings: RoomSettings): boolean => !settings.audioOnly && settings.video.mode === 'mixed';
