/** No command takes a bridge with video apart in its first instant, whoever sends it and whatever it is: a node would crash. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as esl from '../../../../src/freeswitch/esl';
import { SETTLED_MS, settlesInMs } from '../../../../src/freeswitch/esl/commands/settling';
import { apiFrame, eventFrame, commandReply, ScriptedNode } from '../scripted-node';

const VIDEO = 'v=0\r\nm=audio 4000 RTP/AVP 0\r\nm=video 4002 RTP/AVP 96\r\n';
const AUDIO = 'v=0\r\nm=audio 4000 RTP/AVP 0\r\nm=video 0 RTP/AVP 96\r\n';
/** A node's clock, far from ours. */
const NODE_US = 1_000_000_000_000_000;
const dumpOf = (bridgedMsAgo: number | undefined, sdp: string | undefined = VIDEO): Record<string, string> => ({
  'Event-Date-Timestamp': String(NODE_US),
  'Caller-Channel-Bridged-Time': bridgedMsAgo === undefined ? '0' : String(NODE_US - bridgedMsAgo * 1000),
  ...(sdp === undefined ? {} : { variable_switch_r_sdp: sdp }),
});

test.each([
  ['never bridged', dumpOf(undefined), 0],
  ['bridged just now', dumpOf(0), SETTLED_MS],
  ['bridged 200 ms ago', dumpOf(200), 300],
  ['bridged long ago', dumpOf(60_000), 0],
  ['bridged by a clock that was put right', dumpOf(-5000), SETTLED_MS],
  ['bridged without a video', dumpOf(0, AUDIO), 0],
  ['bridged with nothing known of its video', dumpOf(0, undefined), SETTLED_MS],
  ['that says nothing', {}, 0],
  ['that says nonsense', { 'Event-Date-Timestamp': 'x', 'Caller-Channel-Bridged-Time': 'NaN' }, 0],
])('a channel %s', (_, dump, ms) => expect(settlesInMs(dump)).toBe(ms));

const LEG = '0190b5a0-0000-7000-8000-000000000001';
const OTHER = '0190b5a0-0000-7000-8000-000000000002';
const RESHAPING = [
  esl.transferChannel(LEG, { extension: 'x', context: 'calls' }),
  esl.transferChannel(LEG, { extension: 'x', context: 'calls' }, 'both'),
  esl.holdChannel(LEG),
  esl.unholdChannel(LEG),
];

describe('a connection', () => {
  let node: ScriptedNode;
  let bridgedAtMs: number;
  beforeEach(async () => {
    node = await new ScriptedNode().listen();
    bridgedAtMs = performance.now();
    node.answer = (command, socket) => {
      if (command.includes('uuid_dump')) return apiFrame(JSON.stringify(dumpOf(performance.now() - bridgedAtMs)));
      const job = /Job-UUID: (\S+)/.exec(command)?.[1];
      if (!job) return apiFrame('+OK\n');
      setImmediate(() => socket.write(eventFrame({ 'Event-Name': 'BACKGROUND_JOB', 'Job-UUID': job, _body: '+OK\n' })));
      return commandReply(`+OK Job-UUID: ${job}`);
    };
  });
  afterEach(() => node.close());

  test.each(RESHAPING)('lets "$line" wait until the bridge has settled, also in the background', async (command) => {
    const connection = await node.connect();
    const sentAfter = async (send: () => Promise<unknown>): Promise<number> => {
      await send();
      expect(node.commands.at(-1)).toContain(command.line);
      return performance.now() - bridgedAtMs;
    };
    expect(await sentAfter(() => connection.api(command, { timeoutMs: 5000 }))).toBeGreaterThanOrEqual(SETTLED_MS);
    bridgedAtMs = performance.now();
    const inBackground = (): Promise<unknown> => connection.bgapi(command, { jobId: OTHER, timeoutMs: 5000 });
    expect(await sentAfter(inBackground)).toBeGreaterThanOrEqual(SETTLED_MS);
    connection.close();
  });

  test('looks at both legs that are joined, and asks nothing for what takes no bridge apart', async () => {
    const connection = await node.connect();
    bridgedAtMs = performance.now() - 60_000;
    await connection.api({ line: `uuid_bridge ${LEG} ${OTHER}`, reshapes: [LEG, OTHER] }, { timeoutMs: 5000 });
    expect(node.commands.slice(-3)).toEqual([
      `api uuid_dump ${LEG} json`,
      `api uuid_dump ${OTHER} json`,
      `api uuid_bridge ${LEG} ${OTHER}`,
    ]);
    await connection.api(esl.killChannel(LEG, 'NORMAL_CLEARING'), { timeoutMs: 5000 });
    expect(node.commands.at(-2)).toContain('uuid_bridge');
    connection.close();
  });
});

/** Everything that a node is told, but for what only plays a node. */
function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'simulator' ? [] : sourceFiles(path);
    return /\.(ts|xml)$/.test(entry.name) ? [path] : [];
  });
}
const ROOT = join(__dirname, '../../../..');
const withoutComments = (text: string): string =>
  text
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '')
    .replace(/<!--[\s\S]*?-->/g, '');
const sources = ['src', 'freeswitch'].flatMap((folder) =>
  sourceFiles(join(ROOT, folder)).map((path) => ({ path, text: withoutComments(readFileSync(path, 'utf8')) })),
);

test('no answer and no command reshapes a bridge as it begins', () => {
  expect(sources.length).toBeGreaterThan(200);
  const found = sources.filter(({ text }) => /bypass_media_after_bridge|bypass_media_after_hold/.test(text));
  expect(found.map(({ path }) => path)).toEqual([]);
});

test('what takes a bridge apart is made in one file, and says so', () => {
  const WORDS =
    /\buuid_(?:transfer|bridge|media|park|hold|deflect|simplify|dual_transfer|media_reneg)\b|\bintercept\b|att_xfer/;
  const found = sources.filter(({ text }) => WORDS.test(text));
  expect(found.map(({ path }) => path.slice(ROOT.length + 1))).toEqual(['src/freeswitch/esl/commands/commands.ts']);
  // Each of them inside reshaping(…), which is what makes it wait.
  const text = found[0]!.text;
  for (const { index } of text.matchAll(new RegExp(WORDS, 'g')))
    expect(text.slice(Math.max(0, index - 60), index + 700)).toMatch(/reshaping\(/);
});
