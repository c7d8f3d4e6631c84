/** Real nodes whose machines' clocks are wrong: calls of browsers and of sipp across them, with times in order. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../../../scripts/api/client';
import { findFreePort } from '../../../scripts/stores/ports';
import { describeUnless } from '../../real-node';
import { useStores } from '../../stores';
import { createWrongClock, fakeTimeLibrary } from '../../wrong-clock';
import { describeWithBrowser, startBrowserApp, type BrowserApp } from '../pages/browser';
import { startRealPool, type PoolNode, type RealPool } from '../pool/real-pool';

const DOMAIN = 'clocks.test';
const STEP_MS = 60_000;
const TALK_MS = 3000;
const SLOW_S = -15;
const FAST_S = 15;

interface Call {
  id: string;
  state: string;
  outcome: string | null;
  queuedAt: string;
  ringingAt: string | null;
  answeredAt: string | null;
  endedAt: string | null;
  talkSeconds: number | null;
  legs: Record<'createdAt' | 'ringingAt' | 'answeredAt' | 'endedAt', string | null>[];
}
interface ShownNode {
  name: string;
  state: string;
  clock: { offsetMs: number | null; skewed: boolean; note: string | null };
}

const sipp = (process.env.PATH ?? '')
  .split(delimiter)
  .map((folder) => join(folder, 'sipp'))
  .find((file) => existsSync(file));

/** The telephone logs in, and says where it is called. */
const REGISTER = (user: string, password: string, contact: string): string => `<?xml version="1.0" encoding="UTF-8" ?>
<scenario name="register">
${[1, 2]
  .map(
    (turn) => `<send><![CDATA[
REGISTER sip:${DOMAIN} SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:${user}@${DOMAIN}>;tag=[call_number]
To: <sip:${user}@${DOMAIN}>
Call-ID: [call_id]
CSeq: ${turn} REGISTER
Contact: <${contact}>
Max-Forwards: 70
Expires: 600
${turn === 2 ? `[authentication username=${user} password=${password}]\n` : ''}Content-Length: 0

]]></send>
<recv response="100" optional="true"></recv>
${turn === 1 ? '<recv response="401" auth="true"></recv>' : '<recv response="200"></recv>'}`,
  )
  .join('\n')}
</scenario>
`;

const library = fakeTimeLibrary();
const missing = (!library && 'no libfaketime found') || (!sipp && 'no sipp found (PATH)');
describeUnless(missing, 'two real nodes whose clocks are 30 s apart', () => {
  describeWithBrowser('with two browsers and a telephone', (freeswitch, chromium) => {
    const folder = mkdtempSync(join(tmpdir(), 'clocks-'));
    const clocks = [createWrongClock(library!, SLOW_S), createWrongClock(library!, FAST_S)];
    const passwords = new Map<string, string>();
    const programs: ChildProcess[] = [];
    let pool: RealPool;
    let app: BrowserApp;

    afterAll(async () => {
      for (const program of programs) program.kill('SIGKILL');
      await app?.close();
      await pool?.stop();
      for (const clock of clocks) clock.remove();
      rmSync(folder, { recursive: true, force: true });
    }, 60_000);

    const stores = useStores();

    const nodeAt = (index: number): PoolNode => pool.nodes[index]!;
    const readNode = async (index: number): Promise<ShownNode> =>
      (await pool.api.get<{ items: ShownNode[] }>('/v1/nodes')).items.find(({ name }) => name === nodeAt(index).name)!;
    const clockIs = (index: number, what: string, is: (node: ShownNode) => boolean): Promise<ShownNode> =>
      waitFor(`node ${index + 1} to be ${what}`, () => readNode(index), is, 120_000);
    const isAt =
      (seconds: number) =>
      ({ state, clock }: ShownNode): boolean =>
        state === 'serving' && clock.offsetMs !== null && Math.abs(clock.offsetMs - seconds * 1000) < 500;
    const isRegistered = (username: string): Promise<unknown> =>
      waitFor(
        `${username} to be registered`,
        () =>
          pool.api.get<{ items: { registrations: unknown[] }[] }>(`/v1/users?domain=${DOMAIN}&username=${username}`),
        ({ items }) => items[0]?.registrations.length === 1,
        STEP_MS,
      );

    async function openTelephone(username: string, node: PoolNode): Promise<void> {
      const [port, registerPort] = [await findFreePort(), await findFreePort()];
      const scenario = join(folder, 'register.xml');
      const contact = `sip:${username}@127.0.0.1:${port}`;
      writeFileSync(scenario, REGISTER(username, passwords.get(username)!, contact));
      const run = (args: string[]): ChildProcess => {
        const program = spawn(sipp!, [...args, '-i', '127.0.0.1', '-nostdin'], { cwd: folder, stdio: 'ignore' });
        programs.push(program);
        return program;
      };
      run(['-sn', 'uas', '-p', String(port)]);
      run([`127.0.0.1:${node.sipPort}`, '-sf', scenario, '-m', '1', '-p', String(registerPort)]);
      await isRegistered(username);
    }

    beforeAll(async () => {
      [pool, app] = await Promise.all([
        startRealPool(freeswitch, stores, 2, {}, undefined, undefined, (index) => clocks[index]!.environment),
        startBrowserApp(chromium),
      ]);
      await pool.api.post('/v1/domains', { name: DOMAIN, displayName: 'Clocks' });
      for (const username of ['alice', 'bob', 'carl']) {
        const password = randomBytes(12).toString('hex');
        passwords.set(username, password);
        await pool.api.post('/v1/users', { domain: DOMAIN, username, password, displayName: username });
      }
      for (const [username, index] of [
        ['alice', 0],
        ['bob', 1],
      ] as const) {
        const { wsUrl } = nodeAt(index);
        const phone = await app.openPhone({
          ...{ wsUrl, username, domain: DOMAIN, password: passwords.get(username)! },
          ...{ video: true, answerAfterMs: 300 },
        });
        expect(phone.registration).toBe('registered');
        await isRegistered(username);
      }
      await openTelephone('carl', nodeAt(1));
    }, 120_000);

    /** Lets two talk for three seconds, and holds every time that is told of it to our own clock. */
    async function talk(
      from: string,
      to: string,
      meanwhile: () => Promise<void> = async () => undefined,
    ): Promise<Call> {
      const begunMs = Date.now();
      const asked = { domain: DOMAIN, from: `user:${from}`, to: `user:${to}`, ringTimeoutSeconds: 30 };
      const { id } = await pool.api.post<Call>('/v1/calls', asked);
      let last: Call | undefined;
      const callIs = (what: string, is: (call: Call) => boolean): Promise<Call> =>
        waitFor(
          `the call to be ${what}`,
          async () => (last = await pool.api.get<Call>(`/v1/calls/${id}`)),
          (call) => is(call) || (what !== 'ended' && call.state === 'ended'),
          STEP_MS,
        ).catch((fault: Error) => {
          throw new Error(`${fault.message}\n${JSON.stringify(last)}\n${pool.warnings.slice(-10).join('')}`);
        });
      expect(await callIs('answered', ({ state }) => state === 'answered')).toMatchObject({ state: 'answered' });
      const answeredMs = Date.now();
      await meanwhile();
      await sleep(Math.max(0, answeredMs + TALK_MS - Date.now()));
      await pool.api.post(`/v1/calls/${id}/hangup`);
      const talkedMs = Date.now() - answeredMs;
      await callIs('ended', ({ state }) => state === 'ended');
      const countRecords = async (): Promise<number> =>
        Number(((await stores.db('cdrs').where({ call_id: id }).count('* as n').first()) as { n: string }).n);
      await waitFor('its records to have come', countRecords, (count) => count >= 2, STEP_MS);
      const call = await callIs('ended', ({ state }) => state === 'ended');
      const endedMs = Date.now();
      expectInOrder([call.queuedAt, call.ringingAt, call.answeredAt, call.endedAt], begunMs, endedMs);
      for (const leg of call.legs)
        expectInOrder([leg.createdAt, leg.ringingAt, leg.answeredAt, leg.endedAt].filter(Boolean), begunMs, endedMs);
      process.stdout.write(`  ${from} → ${to}: talked ${talkedMs} ms, told ${call.talkSeconds} s\n`);
      expect(call.outcome).toBe('answered');
      expect(Math.abs(call.talkSeconds! - talkedMs / 1000)).toBeLessThanOrEqual(1);
      return call;
    }

    function expectInOrder(told: (string | null | undefined)[], begunMs: number, endedMs: number): void {
      const times = told.map((at) => Date.parse(at!));
      expect([...times].sort((a, b) => a - b)).toEqual(times);
      for (const at of times) {
        expect(at).toBeGreaterThan(begunMs - 1000);
        expect(at).toBeLessThan(endedMs + 1000);
      }
    }

    test('are shown with what each is ahead, and why it stays so', async () => {
      await clockIs(0, '15 s slow', isAt(SLOW_S));
      await clockIs(1, '15 s fast', isAt(FAST_S));
      const { clock } = await clockIs(1, 'explained', ({ clock }) => clock.note !== null && clock.note.includes(';'));
      expect(clock).toMatchObject({ skewed: true, note: expect.stringMatching(/^its clock is 15\.0 s fast; /) });
    });

    test.each([
      ['alice', 'bob'],
      ['bob', 'alice'],
      ['alice', 'carl'],
      ['carl', 'alice'],
    ])('tell the times of a call from %s to %s in order, and how long they talked', async (from, to) => {
      await talk(from, to);
    });

    test('tell them right also where the clock of one is set in the middle of the call', async () => {
      await talk('alice', 'bob', async () => {
        await sleep(1000);
        clocks[1]!.set(FAST_S + 30);
        expect(await pool.command(nodeAt(1), 'fsctl sync_clock')).toMatch(/synchronized/);
      });
      await clockIs(1, '45 s fast', isAt(FAST_S + 30));
    });

    test.each([10, -10, 60, -60, 3600, -3600])(
      'take calls where one is %i s ahead, and stay in the pool',
      async (seconds) => {
        clocks[0]!.set(seconds);
        await pool.command(nodeAt(0), 'fsctl sync_clock');
        await clockIs(0, `${seconds} s ahead`, isAt(seconds));
        await sleep(5000); // longer than three missed reports
        expect(await readNode(0)).toMatchObject({ state: 'serving' });
        const { nodes } = await pool.api.get<{ nodes: { name: string; silent: boolean }[] }>('/v1/pool');
        expect(nodes.map(({ silent }) => silent)).toEqual([false, false]);
        await talk('bob', 'carl');
        if (seconds < 3600 && seconds > -60) await talk('bob', 'alice');
      },
    );

    test('read their clocks again by themselves once the machines are set', async () => {
      clocks[1]!.set(0);
      const { clock } = await clockIs(1, 'right', isAt(0));
      expect(clock).toMatchObject({ skewed: false, note: null });
      await talk('bob', 'carl');
    });
  });
});
