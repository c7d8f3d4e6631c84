/** Commands to nodes: with any argument each is one line, comes apart as it was meant, and runs nothing besides. */
import { anyCommand, type Built, type Expected } from '../../grammar/commands';
import { readDialString } from '../../oracles/dial';
import { expandText } from '../../oracles/expand';
import { readSocketCommands, separateString } from '../../oracles/split';
import { SwitchyardError } from '../../../../../src/errors';
import { defineTarget, must, mustEqual, type Target } from '../../target';

/** FreeSWITCH's own limits: words of a command, and of one that is spawned. */
const MOST_WORDS = 64;
const TONE = /^tone_stream:\/\/[%(),;=.0-9A-Za-z-]+$/;
const MOST_BYTES = 1_000_000;

/** A faulty builder can be put in the place of a real one. */
export const commandsTarget = (change: (line: string) => string = (line) => line): Target =>
  defineTarget({
    name: 'commands',
    holds: 'a command is one line of the verb and the words that were meant, or is refused by a code',
    inputs: anyCommand,
    check(built) {
      let lines: string[];
      try {
        const made = built.build();
        lines = (Array.isArray(made) ? made : [made]).map(({ line }) => change(line));
      } catch (error) {
        must(error instanceof SwitchyardError, () => `${built.builder} threw ${String(error)}`);
        return 'refused';
      }
      const expected = built.expected();
      mustEqual(lines.length, expected.length, 'how many commands are made');
      lines.forEach((line, i) => check(built, line, expected[i]!));
      return built.builder;
    },
  });

function check(built: Built, line: string, expected: Expected): void {
  must(line.length < MOST_BYTES, 'a command without end');
  const onWire = readSocketCommands(`bgapi ${line}\nJob-UUID: a-job\n\n`);
  mustEqual(onWire, [{ command: `bgapi ${line}`, headers: { 'Job-UUID': 'a-job' } }], 'what the Event Socket reads');
  const expansion = expandText(line);
  const isEval = built.builder === 'readMediaCounters';
  mustEqual(expansion.commands, [], 'commands in expansions');
  must(isEval || expansion.variables.length === 0, () => `expansions: ${expansion.variables.join(', ')}`);
  if (expected.rest !== undefined) {
    mustEqual(line, `${expected.words.join(' ')} ${expected.rest}`, 'the line');
    return;
  }
  const [verb, ...meant] = expected.words;
  const words = separateString(line.slice(line.indexOf(' ') + 1), ' ', MOST_WORDS);
  mustEqual(line.split(' ', 1)[0], verb, 'the verb');
  if (meant.length === 0) return;
  if (built.builder === 'originateCall') {
    const [dialString = '', ...behind] = words;
    mustEqual(behind, meant.slice(1), 'the words behind the dial string');
    return mustDial(dialString, JSON.parse(meant[0]!) as Meant);
  }
  mustEqual(words.length, meant.length, `how many words: ${line}`);
  words.forEach((word, i) => {
    const wanted = meant[i]!;
    if (wanted === 'STEP') return must(/^(group-)?k?\d{2,5}(kb)?$/.test(word), () => `a step of ${word}`);
    if (wanted.startsWith('decoded:')) return mustEqual(decodeURIComponent(word), wanted.slice(8), 'the decoded text');
    // Some take a tone apart and write it again.
    if (word !== wanted && wanted.startsWith('tone_stream://')) return must(TONE.test(word), () => `a tone of ${word}`);
    mustEqual(word, wanted, `word ${i + 1} of ${line}`);
    must(expandText(word).variables.length === 0, () => `${word} would be expanded when it is used`);
  });
  if (verb === 'uuid_broadcast') must(!/^[^:]*::/.test(words[1]!), () => `${words[1]} names an application`);
}

interface Meant {
  endpoint: string;
  variables: Record<string, string>;
}

function mustDial(dialString: string, meant: Meant): void {
  const dialled = readDialString(dialString);
  must(dialled !== undefined, () => `FreeSWITCH can't read ${dialString}`);
  must(!dialled.isEnterprise && !dialled.isNested, () => `a word that FreeSWITCH acts on in ${dialString}`);
  mustEqual(Object.fromEntries(dialled.global), meant.variables, 'the variables');
  mustEqual(dialled.global.length, Object.keys(meant.variables).length, 'how often variables are set');
  for (const [name, value] of dialled.global) {
    const { variables, commands } = expandText(value);
    must(variables.length + commands.length === 0, () => `${name}=${value} would be run when it is used`);
  }
  const legs = dialled.sequence.flat();
  for (const leg of legs) mustEqual(leg.variables, [], `variables of the endpoint ${meant.endpoint}`);
  const written = meant.endpoint.split(/[|,]/).filter((part) => part !== '');
  must(legs.length <= Math.max(1, written.length), () => `${legs.length} legs of ${meant.endpoint}`);
}
