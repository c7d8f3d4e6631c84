/** What a node must have loaded for what is asked of it: the one table by which it is chosen, shown and refused. */

export const FEATURE_NAMES = [
  'calls',
  'rooms',
  'tones',
  'mp4_recordings',
  'wav_recordings',
  'relays',
  'opus',
  'voice',
  'call_records',
] as const;
export type Feature = (typeof FEATURE_NAMES)[number];

interface FeatureFacts {
  modules: readonly string[];
  /** After "it can't". */
  words: string;
}

/**
 * FreeSWITCH's own lists by which this was seen: `show modules as json`, `show file as json` (mp4 and rtmp are formats of
 * mod_av, wav of mod_sndfile, tone_stream and silence_stream of mod_tone_stream), `show application as json`.
 * What is not here: mod_curl, since files are also sent by the program curl; mod_loopback, which only canaries use.
 */
export const FEATURES: Record<Feature, FeatureFacts> = {
  calls: { modules: ['mod_sofia', 'mod_dptools', 'mod_dialplan_xml'], words: 'carry calls' },
  rooms: { modules: ['mod_conference'], words: 'carry rooms' },
  tones: { modules: ['mod_tone_stream'], words: 'play tones' },
  mp4_recordings: { modules: ['mod_av'], words: 'record mp4' },
  wav_recordings: { modules: ['mod_sndfile'], words: 'record wav' },
  relays: { modules: ['mod_av'], words: 'send relays' },
  opus: { modules: ['mod_opus'], words: 'speak Opus, so browsers fall back to narrow-band sound' },
  voice: { modules: ['mod_flite'], words: 'speak text' },
  call_records: { modules: ['mod_json_cdr'], words: 'send records of its calls' },
};

/** Each once, as a node is asked for them. */
export const ASKED_MODULES: readonly string[] = [
  ...new Set(FEATURE_NAMES.flatMap((feature) => FEATURES[feature].modules)),
];

export const recordingFeature = (format: 'mp4' | 'wav'): Feature =>
  format === 'mp4' ? 'mp4_recordings' : 'wav_recordings';

/** One feature that a node has not, and what it would have to load. */
export interface Lack {
  feature: Feature;
  modules: string[];
}

/** @param missing null where it is not known: then it is believed to have all */
export function findLacks(missing: readonly string[] | null | undefined, needs: readonly Feature[]): Lack[] {
  if (!missing || missing.length === 0) return [];
  return needs.flatMap((feature) => {
    const modules = FEATURES[feature].modules.filter((module) => missing.includes(module));
    return modules.length > 0 ? [{ feature, modules }] : [];
  });
}

/** "without mod_av it can't record mp4 and send relays". */
export function explainLacks(lacks: readonly Lack[]): string {
  const byModules = new Map<string, string[]>();
  for (const { feature, modules } of lacks) {
    const key = modules.join(' and ');
    byModules.set(key, [...(byModules.get(key) ?? []), FEATURES[feature].words]);
  }
  return [...byModules].map(([modules, words]) => `without ${modules} it can't ${words.join(' or ')}`).join('; ');
}
