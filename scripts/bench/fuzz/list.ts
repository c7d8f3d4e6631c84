/** All targets by name; those that need stores or a node open them once, and close them at the end. */
import { existsSync } from 'node:fs';
import { startRealCluster, startCluster, type Cluster, type Surroundings } from './cluster';
import type { Target } from './target';
import { formTarget } from './targets/bytes/form';
import { joinTarget, mediaTarget } from './targets/bytes/media';
import { pngTarget } from './targets/bytes/png';
import { amfTarget, rtmpMemoryTarget, rtmpPaceTarget, rtmpTarget } from './targets/bytes/rtmp';
import { answersTarget, questionsTarget } from './targets/node/answers';
import { commandsTarget } from './targets/node/commands';
import { dialTarget } from './targets/node/dial';
import { eventsTarget, framesPaceTarget, framesTarget, repliesTarget } from './targets/node/frames';
import { openDoorsTarget, openXmlTarget } from './targets/switchyard/doors';
import { openRestTarget } from './targets/switchyard/rest';
import { openSipTarget } from './targets/switchyard/sip';

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

/** Targets that need a whole Switchyard with its stores. */
export const OVER_HTTP: Readonly<Record<string, (at: Surroundings) => Promise<Target>>> = {
  'xml-door': openXmlTarget,
  doors: openDoorsTarget,
  rest: openRestTarget,
};

/** Needs a real node: FREESWITCH_BIN. */
const AT_A_REAL_NODE = 'sip';

export const TARGET_NAMES: readonly string[] = [...Object.keys(PURE), ...Object.keys(OVER_HTTP), AT_A_REAL_NODE];

export interface OpenedTargets {
  targets: Target[];
  skipped: { name: string; why: string }[];
  close(): Promise<void>;
}

/** @throws where there is no target of that name, or its surroundings do not start */
export async function openTargets(names: readonly string[]): Promise<OpenedTargets> {
  let cluster: Cluster | undefined;
  const closes: (() => Promise<void> | void)[] = [];
  const close = async (): Promise<void> => {
    for (const step of closes.splice(0).reverse()) await step();
  };
  const targets: Target[] = [];
  const skipped: OpenedTargets['skipped'] = [];
  const shared = async (): Promise<Cluster> => {
    if (!cluster) {
      cluster = await startCluster();
      closes.push(cluster.close);
    }
    return cluster;
  };
  try {
    for (const name of names) {
      if (name === AT_A_REAL_NODE) {
        const binary = process.env.FREESWITCH_BIN;
        if (!binary || !existsSync(binary)) {
          skipped.push({ name, why: 'FREESWITCH_BIN names no freeswitch' });
          continue;
        }
        const real = await startRealCluster(binary);
        closes.push(real.close);
        const sip = await openSipTarget(real);
        closes.push(sip.close);
        targets.push(sip.target);
        continue;
      }
      const [make, open] = [PURE[name], OVER_HTTP[name]];
      if (make) targets.push(make());
      else if (open) targets.push(await open(await shared()));
      else throw new Error(`There is no target "${name}": ${TARGET_NAMES.join(', ')}.`);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { targets, skipped, close };
}
