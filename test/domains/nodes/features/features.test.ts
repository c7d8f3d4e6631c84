/** Holds the choice of a node, and the words for it, to which modules the node has. */
import { explainLacks, FEATURE_NAMES, findLacks, type Feature } from '../../../../src/domains/nodes/features/features';
import { askMissingModules } from '../../../../src/domains/nodes/features/ask-modules';
import { presentLacks } from '../../../../src/domains/nodes/features/present';
import { explainConsidered } from '../../../../src/domains/nodes/selection/select-node';
import { decideNeeds } from '../../../../src/domains/rooms/joining/room-needs';
import { node, pick } from '../node-view';

const needs: Feature[] = ['rooms', 'mp4_recordings'];

test('a node that lacks the module is left out, however much room it has, and the reason names the module', () => {
  const nodes = [node('a', { missingModules: ['mod_av'] }), node('b', { claimedUnits: 90 })];
  const choice = pick(nodes, { needs, preferNodeIds: ['a'], registeredNodeIds: ['a'] });
  expect(choice.nodeId).toBe('b');
  expect(explainConsidered(choice.considered[0]!, choice.nodeId)).toBe(
    "a: not possible, because it lacks a module of FreeSWITCH (without mod_av it can't record mp4).",
  );
});

test('what is not needed does not keep a node from being taken', () => {
  expect(pick([node('a', { missingModules: ['mod_av', 'mod_flite'] })], { needs: ['calls', 'rooms'] }).nodeId).toBe(
    'a',
  );
  expect(pick([node('a', { missingModules: ['mod_av'] })]).nodeId).toBe('a');
});

test('a node that was not asked yet is believed to have all', () => {
  expect(pick([node('a', { missingModules: null })], { needs }).nodeId).toBe('a');
});

test('a node says what it can not do, each module once', () => {
  expect(explainLacks(findLacks(['mod_av'], FEATURE_NAMES))).toBe("without mod_av it can't record mp4 or send relays");
  expect(presentLacks(['mod_av', 'mod_flite'])).toEqual({
    modules: ['mod_av', 'mod_flite'],
    features: ['mp4_recordings', 'relays', 'voice'],
    note: "without mod_av it can't record mp4 or send relays; without mod_flite it can't speak text",
  });
  expect(presentLacks([])).toBeNull();
  expect(presentLacks(null)).toBeNull();
});

test('a room needs what is desired for it, and nothing else', () => {
  expect(decideNeeds(false, { formats: [], hasRelays: false })).toEqual(['calls', 'rooms']);
  expect(decideNeeds(true, { formats: ['wav'], hasRelays: true })).toEqual([
    'calls',
    'rooms',
    'mp4_recordings',
    'wav_recordings',
    'relays',
  ]);
});

test('a node whose answer is neither yes nor no is not said to lack anything', async () => {
  const answer = (text: string) => () => Promise.resolve({ ok: true as const, text });
  expect(await askMissingModules(answer('false\n'), ['mod_av'])).toEqual(['mod_av']);
  expect(await askMissingModules(answer('true\n'), ['mod_av'])).toEqual([]);
  expect(await askMissingModules(answer('-ERR module_exists Command not found!\n'), ['mod_av'])).toBeUndefined();
});
