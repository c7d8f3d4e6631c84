/** SIP itself, at a real node: whatever a stranger, a user or a guest sends, the node does only what Switchyard let in. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { sipSteps, type SipStep } from '../../grammar/sip';
import { callApi, make, type RealNodeParts, type Surroundings } from '../../cluster';
import { defineAsyncTarget, must, type Target } from '../../target';
import { headerOf } from '../../../../sip-phone/message';
import { hashPassword, openSipActor, SDP, statusOf, tagOf, type SipActor, type SipDialog } from './sip-actor';
import { openEar, type Ear } from './sip-ear';

const PASSWORD = 'Kah7oo-ngeiX2';
/** What Switchyard runs on a node by itself (grammar/commands.ts has each with its arguments). */
const OURS =
  /^(uuid_\w+|show|conference|version|sofia|status|global_getvar|spawn_stream|echo|reloadacl|reloadxml|xml_flush_cache|hupall|originate|eval|curl_sendfile|fsctl|json|module_exists)\b/;
/** A channel that no answer of ours let in is ended within this. */
const UNADMITTED_MS = 2000;
const QUIET_MS = 250;
const ANSWER_MS = 5000;
/** How much a node may grow while it is fuzzed. */
const MOST_GROWN_BYTES = 400 * 1024 * 1024;

export async function openSipTarget(at: Surroundings & RealNodeParts): Promise<{ target: Target; close(): void }> {
  const dir = mkdtempSync(join(tmpdir(), 'switchyard-fuzz-sip-'));
  const marker = join(dir, 'marker');
  const ear = await openEar(at.eslPort, at.eslPassword);
  for (const domain of ['alpha.test', 'beta.test']) await make(at, '/v1/domains', { name: domain });
  await make(at, '/v1/users', { domain: 'alpha.test', username: 'mallory', password: PASSWORD });
  await make(at, '/v1/users', { domain: 'beta.test', username: 'alice', password: PASSWORD });
  const bob = await make(at, '/v1/users', { domain: 'beta.test', username: 'bob', password: PASSWORD });
  const room = await make(at, '/v1/rooms', { domain: 'alpha.test', name: 'ward' });
  const grant = await make(at, `/v1/rooms/${String(room.id)}/grants`, {});
  const guestLogin = { username: String(grant.username), realm: String(grant.realm), ha1: String(grant.ha1) };
  const userLogin = { username: 'mallory', realm: 'alpha.test', ha1: hashPassword('mallory', 'alpha.test', PASSWORD) };
  const victimLogin = { username: 'bob', realm: 'beta.test', ha1: hashPassword('bob', 'beta.test', PASSWORD) };
  const partnerLogin = { username: 'alice', realm: 'beta.test', ha1: hashPassword('alice', 'beta.test', PASSWORD) };
  const nodePort = at.sipPort;
  const actors = {
    // Each at an address of their own: who guesses is banned by it, and the others are not.
    stranger: await openSipActor({ nodePort, host: '127.0.0.2' }),
    user: await openSipActor({ nodePort, host: '127.0.0.3', login: userLogin }),
    guest: await openSipActor({ nodePort, host: '127.0.0.4', login: guestLogin }),
  };
  const victim = await openSipActor({ nodePort, host: '127.0.0.5', login: victimLogin });
  /**
   * Talks with the victim. A leg without a partner is ended by an INVITE whose Replaces names its Call-ID, in the node's
   * SIP thread and before any plan is asked (1.10.12): Call-IDs of those are secrets, and that is not tried here.
   */
  const partner = await openSipActor({ nodePort, host: '127.0.0.6', login: partnerLogin });
  /** Nobody has business there: every request that comes is one the node was talked into. */
  const elsewhere = await openSipActor({ nodePort, host: '127.0.0.9', answers: false });
  const everybody = [...Object.values(actors), victim, partner, elsewhere];
  const close = (): void => {
    for (const actor of everybody) actor.close();
    ear.close();
    rmSync(dir, { recursive: true, force: true });
  };
  const startBytes = memoryOf(at.pid);
  const calls: { victim?: SipDialog; user?: SipDialog; guest?: SipDialog } = {};
  let lastAnswer = '';
  const self = (actor: SipActor): string =>
    actor.login ? `sip:${actor.login.username}@${actor.login.realm}` : 'sip:nobody@none.test';

  async function call(actor: SipActor, to: string): Promise<SipDialog | undefined> {
    const request = {
      method: 'INVITE',
      requestUri: `sip:${to}@127.0.0.1:${nodePort}`,
      from: self(actor),
      to: `sip:${to}@${actor.login?.realm ?? 'none.test'}`,
      contact: `sip:x@${actor.host}:${actor.port}`,
      headers: [],
      body: ['application/sdp', SDP] as const,
      proves: true,
      waitMs: 8000,
    };
    const answer = await actor.ask(request);
    lastAnswer = answer?.start ?? 'no answer';
    if (!answer || statusOf(answer) !== 200) return undefined;
    return {
      callId: headerOf(answer, 'call-id') ?? '',
      fromTag: tagOf(headerOf(answer, 'from')),
      toTag: tagOf(headerOf(answer, 'to')),
      remote: /<([^>]+)>/.exec(headerOf(answer, 'contact') ?? '')?.[1] ?? request.requestUri,
      requestUri: request.requestUri,
      sequence: 10,
    };
  }

  const livingLeg = (user: string): string | undefined =>
    [...ear.channels.values()].find((c) => c.endedAtMs === undefined && c.name.includes(user))?.id;

  async function connectVictim(): Promise<void> {
    await partner.ask({
      method: 'REGISTER',
      requestUri: `sip:127.0.0.1:${nodePort}`,
      from: self(partner),
      to: self(partner),
      contact: `sip:alice@${partner.host}:${partner.port}`,
      headers: ['Expires: 300'],
      body: undefined,
      proves: true,
      waitMs: ANSWER_MS,
    });
    calls.victim = await call(victim, 'alice');
    await sleep(QUIET_MS);
  }

  /** Two of another tenant talk before each input, and what is hostile knows all of their call that could leak. */
  async function prepare(): Promise<string> {
    for (let tries = 0; tries < 3 && (!calls.victim || !livingLeg('bob') || !livingLeg('alice')); tries += 1) {
      await connectVictim();
    }
    must(
      calls.victim !== undefined,
      () => `an honest phone can not call any more: ${lastAnswer}; ${at.errors.slice(-3).join('')}`,
    );
    const legId = livingLeg('bob');
    must(legId !== undefined, "the victim's channel was not told");
    return legId;
  }

  const target = defineAsyncTarget({
    name: 'sip',
    holds:
      'no channel lives that has no call of ours, no command runs that Switchyard did not ask for, nobody else is dialled, registered or hung up',
    perBatch: 20,
    inputs: sipSteps,
    async check(steps) {
      // What one input leaves behind must not be found by the next.
      if (!(await ear.api('show registrations count')).trim().startsWith('0 ')) {
        // It forgets all nonces as well, a little later: nobody is to be in the middle of a login.
        await ear.api('sofia profile internal flush_inbound_reg');
        await sleep(QUIET_MS);
      }
      await liftBans(at);
      const victimLeg = await prepare();
      const commandsBefore = ear.commands.length;
      const toElsewhere = elsewhere.requests.length;
      const toVictims = [victim.requests.length, partner.requests.length];
      const words: Record<string, string> = {
        node: `127.0.0.1:${nodePort}`,
        elsewhere: `127.0.0.9:${elsewhere.port}`,
        elsewhereHost: '127.0.0.9',
        marker,
        guest: guestLogin.username,
        victimLeg,
        victimCall: calls.victim!.callId,
        victimTo: calls.victim!.toTag,
        victimFrom: calls.victim!.fromTag,
      };
      const answers = await Promise.all(steps.map((step) => send(step, words)));
      await sleep(QUIET_MS);
      await mustHold(victimLeg, commandsBefore, toElsewhere, toVictims);
      return answers[0] ?? 'none';
    },
  });

  async function send(step: SipStep, words: Record<string, string>): Promise<string> {
    const actor = actors[step.actor];
    const fill = (text: string): string =>
      text.replace(
        /\{(\w+)\}/g,
        (all, word: string) => ({ ...words, self: self(actor), own: `sip:x@${actor.host}:${actor.port}` })[word] ?? all,
      );
    let dialog: SipDialog | undefined;
    if (step.dialog !== 'none' && step.actor !== 'stranger') {
      dialog = step.dialog === 'answered' ? (calls[step.actor] ??= await call(actor, '9196')) : undefined;
    }
    const answer = await actor.ask({
      method: step.method,
      requestUri: dialog ? dialog.remote : fill(step.requestUri).replace(/[\s<>]/g, ''),
      from: fill(step.from),
      to: fill(step.to),
      contact: fill(step.contact),
      headers: step.headers.map(fill),
      body: step.body && [step.body[0], fill(step.body[1])],
      proves: step.proves,
      dialog,
    });
    if (dialog && step.method === 'BYE') calls[step.actor as 'user' | 'guest'] = undefined;
    return `${step.method} ${answer ? statusOf(answer) : 'unanswered'}`;
  }

  async function mustHold(
    victimLeg: string,
    commandsBefore: number,
    toElsewhere: number,
    toVictims: readonly number[],
  ): Promise<void> {
    must(ear.isOpen(), 'the node has ended, or shut our Event Socket');
    must((await ear.api('status')).includes('UP'), 'the node does not say its status');
    must(!existsSync(marker), 'a shell command was run on the node');
    const foreign = ear.commands
      .slice(commandsBefore)
      .filter((command) => !OURS.test(command) || command.includes(dir));
    must(foreign.length === 0, () => `commands were run that nobody asked for: ${foreign.join(' | ')}`);
    const talkedInto = elsewhere.requests.slice(toElsewhere).map(({ start }) => start);
    // What answers a call that was let in goes to its contact, wherever that is: RFC 3261, 12.2. Dialling there is another thing.
    const dialled = talkedInto.filter((start) =>
      /^(INVITE|REGISTER|MESSAGE|REFER|SUBSCRIBE|PUBLISH|OPTIONS)/.test(start),
    );
    must(dialled.length === 0, () => `the node was made to ask somebody else: ${dialled.join(' | ')}`);
    const told = [victim, partner].flatMap((who, i) => who.requests.slice(toVictims[i]).map(({ start }) => start));
    must(told.length === 0, () => `somebody else's phone got ${told.join(' | ')}`);
    must((await ear.api(`uuid_exists ${victimLeg}`)).trim() === 'true', "somebody else's call was ended");
    const shown = await callApi(at, 'GET', `/v1/users/${String(bob.id)}`);
    const registrations = (shown.body as { registrations?: unknown[] }).registrations ?? [];
    must(registrations.length === 0, () => `somebody is registered as another: ${JSON.stringify(registrations)}`);
    await mustBeAdmitted(ear, at);
    const grown = memoryOf(at.pid) - startBytes;
    must(grown < MOST_GROWN_BYTES, () => `the node has grown by ${Math.round(grown / 1e6)} MB`);
  }
  return { target, close };
}

/** Who guesses passwords is banned, as it should be; the next input is to be tried all the same. */
async function liftBans(at: Surroundings): Promise<void> {
  const { body, status } = await callApi(at, 'GET', '/v1/bans?limit=200');
  if (status !== 200) return;
  for (const { id } of (body as { items: { id: string }[] }).items) await callApi(at, 'DELETE', `/v1/bans/${id}`);
}

/** Channels that live on have a call of ours; asked again until the time is over in which the others are ended. */
async function mustBeAdmitted(ear: Ear, at: Surroundings): Promise<void> {
  const known = new Set<string>();
  for (;;) {
    const living = [...ear.channels.values()].filter((c) => c.endedAtMs === undefined);
    for (const channel of living) {
      if (!channel.callId || known.has(channel.id)) continue;
      const answer = await callApi(at, 'GET', `/v1/calls/${encodeURIComponent(channel.callId)}`);
      if (answer.status === 200) known.add(channel.id);
    }
    const strange = living.filter((c) => !known.has(c.id) && c.endedAtMs === undefined);
    if (strange.length === 0) break;
    const oldest = strange.reduce((a, b) => (a.createdAtMs < b.createdAtMs ? a : b));
    must(
      Date.now() - oldest.createdAtMs < UNADMITTED_MS,
      () => `a channel without a call of ours lives: ${oldest.name} to ${oldest.destination} (${oldest.direction})`,
    );
    await sleep(100);
  }
  // What has ended is of no more interest.
  for (const [id, channel] of ear.channels) if (channel.endedAtMs !== undefined) ear.channels.delete(id);
}

/** Resident memory, where the system tells it. */
function memoryOf(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
