/**
 * How long 2,000 phones take to register at a real node, against a node that has its users on disk: rounds in turn, with
 * the replica started again for each. Other checkouts of Switchyard, with their node_modules, are measured in the same run.
 *
 *   npx tsx scripts/bench/register.ts [--users 2000] [--rounds 3] [--limit 50] [folder of another checkout …]
 */
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { waitFor } from '../api/client';
import { projectRoot } from '../project';
import { findProgram } from '../stores/redis';
import { registerAll } from './register/sipp';
import { DOMAIN, openVariant, type User, type Variant } from './register/variants';
import { median, round, withStores } from './roles';

const AIM = 1.1;
const SETTLE_MS = 60_000;
/** A node and a replica that have just come up have other things to do. */
const REST_MS = 2000;
/** Of /proc/PID/stat (CLK_TCK). */
const TICKS_A_SECOND = 100;

interface Figures {
  wallMs: number;
  /** From the first REGISTER until Switchyard knew all of them. */
  knownMs: number | undefined;
  nodeCpuMs: number;
  replicaCpuMs: number | undefined;
}

async function cpuMs(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /s, '').split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_A_SECOND;
}

async function measure(variant: Variant, users: readonly User[], limit: number, dir: string): Promise<Figures> {
  const beside = await variant.begin();
  try {
    await variant.clear();
    await sleep(REST_MS);
    const before = [await cpuMs(variant.node.pid), beside && (await cpuMs(beside.pid))];
    const began = performance.now();
    const wallMs = await registerAll({ users, domain: DOMAIN, limit, sipPort: variant.sipPort, dir });
    if (beside)
      await waitFor(
        'Switchyard to know all',
        () => variant.countKnown()!,
        (count) => count === users.length,
        SETTLE_MS,
      );
    const knownMs = beside && performance.now() - began;
    return {
      wallMs,
      knownMs,
      nodeCpuMs: (await cpuMs(variant.node.pid)) - before[0]!,
      replicaCpuMs: beside && (await cpuMs(beside.pid)) - before[1]!,
    };
  } finally {
    await beside?.end();
  }
}

function show(name: string, all: readonly Figures[], onDiskMs: number): void {
  const middle = (pick: (one: Figures) => number | undefined): string => {
    const values = all.flatMap((one) => pick(one) ?? []);
    return values.length === 0 ? '' : (median(values) / 1000).toFixed(2);
  };
  const ratio = median(all.map(({ wallMs }) => wallMs)) / onDiskMs;
  const walls = all.map(({ wallMs }) => (wallMs / 1000).toFixed(2)).join(' ');
  const known = middle(({ knownMs }) => knownMs);
  const cpu = `CPU of the node ${middle((one) => one.nodeCpuMs)} s`;
  const replica = middle((one) => one.replicaCpuMs);
  console.log(
    `${name}: ${middle((one) => one.wallMs)} s (${walls}), ${round(ratio, 2)} of users on disk; ${cpu}` +
      (replica === '' ? '' : `, of Switchyard ${replica} s; all known after ${known} s`),
  );
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { users: { type: 'string' }, rounds: { type: 'string' }, limit: { type: 'string' } },
    allowPositionals: true,
  });
  const binary = process.env.FREESWITCH_BIN ?? findProgram('freeswitch');
  if (!binary) return console.log('Not measured: there is no FreeSWITCH here (FREESWITCH_BIN or PATH).');
  if (!findProgram('sipp')) return console.log('Not measured: there is no sipp on PATH.');
  const [count, rounds, limit] = [Number(values.users ?? 2000), Number(values.rounds ?? 3), Number(values.limit ?? 50)];
  const users = Array.from({ length: count }, (_, i) => ({ username: `user-${i}`, password: `pass-of-user-${i}` }));
  const dir = await mkdtemp(join(tmpdir(), 'bench-register-'));
  await chmod(dir, 0o711);
  const variants: Variant[] = [];
  try {
    await withStores(async (stores) => {
      const open = async (name: string, checkout: string, onDisk = false): Promise<void> => {
        const own = join(dir, String(variants.length));
        variants.push(await openVariant({ name, checkout, stores, binary, dir: own, users, onDisk }));
      };
      await open('users on disk', projectRoot(), true);
      for (const other of positionals) await open(basename(resolve(other)), resolve(other));
      await open('this Switchyard', projectRoot());
      const figures = new Map<Variant, Figures[]>(variants.map((variant) => [variant, []]));
      for (let at = 0; at < rounds; at += 1) {
        for (const variant of variants) figures.get(variant)!.push(await measure(variant, users, limit, dir));
      }
      const onDiskMs = median(figures.get(variants[0]!)!.map(({ wallMs }) => wallMs));
      console.log(`${count} first registrations, ${limit} at once, ${rounds} rounds in turn; medians:`);
      for (const variant of variants) show(variant.name, figures.get(variant)!, onDiskMs);
      const own = median(figures.get(variants.at(-1)!)!.map(({ wallMs }) => wallMs)) / onDiskMs;
      console.log(`Aim ${AIM}: ${own <= AIM ? 'reached' : 'missed'}.`);
      await Promise.all(variants.map((variant) => variant.stop()));
    });
  } finally {
    await Promise.all(variants.map(({ node }) => node.stop().catch(() => undefined)));
    await rm(dir, { recursive: true, force: true });
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
