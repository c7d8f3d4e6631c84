/** All targets by name; those that need stores or a node open them once, and close them at the end. */
import { amfTarget, rtmpMemoryTarget, rtmpPaceTarget, rtmpTarget } from './targets/bytes/rtmp';
import type { Target } from './target';

/** Targets that need nothing but this process. */
export const PURE: Readonly<Record<string, () => Target>> = {
  rtmp: rtmpTarget,
  'rtmp-pace': rtmpPaceTarget,
  'rtmp-memory': rtmpMemoryTarget,
  amf: amfTarget,
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
