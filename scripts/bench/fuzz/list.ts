/** All targets by name; those that need stores or a node open them once, and close them at the end. */
import { formTarget } from './targets/bytes/form';
import { joinTarget, mediaTarget } from './targets/bytes/media';
import { pngTarget } from './targets/bytes/png';
import { amfTarget, rtmpMemoryTarget, rtmpPaceTarget, rtmpTarget } from './targets/bytes/rtmp';
import { answersTarget, questionsTarget } from './targets/node/answers';
import { commandsTarget } from './targets/node/commands';
import { dialTarget } from './targets/node/dial';
import { eventsTarget, framesPaceTarget, framesTarget, repliesTarget } from './targets/node/frames';
import type { Target } from './target';

/** Targets that need nothing but this process. */
export const PURE: Readonly<Record<string, () => Target>> = {
  rtmp: rtmpTarget,
  'rtmp-pace': rtmpPaceTarget,
  'rtmp-memory': rtmpMemoryTarget,
  amf: amfTarget,
  png: pngTarget,
  media: mediaTarget,
  join: joinTarget,
  form: formTarget,
  dial: dialTarget,
  commands: commandsTarget,
  answers: answersTarget,
  questions: questionsTarget,
  frames: framesTarget,
  'frames-pace': framesPaceTarget,
  events: eventsTarget,
  replies: repliesTarget,
};

export const TARGET_NAMES: readonly string[] = Object.keys(PURE);

export interface OpenedTargets {
  targets: Target[];
  skipped: { name: string; why: string }[];
  close(): Promise<void>;
}

/** @throws where there is no target of that name */
export async function openTargets(names: readonly string[]): Promise<OpenedTargets> {
  const targets = names.map((name) => {
    const make = PURE[name];
    if (!make) throw new Error(`There is no target "${name}": ${TARGET_NAMES.join(', ')}.`);
    return make();
  });
  return { targets, skipped: [], close: () => Promise.resolve() };
}
