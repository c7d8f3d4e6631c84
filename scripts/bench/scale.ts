/** What one Switchyard costs with a hundred, three hundred and a thousand nodes and a hundred calls on each, and how it grows. */
import { withStores, ownRole, serveRole } from './roles';
import { createStandIns } from './scale/nodes';
import { createOwnSwitchyard } from './scale/process';
import { printTable } from './scale/table';
import { runSize, type Figures, type Size } from './scale/run-size';

const SIZES: Size[] = [100, 300, 1000].map((nodes) => ({ nodes, burstCalls: 300, realCalls: 60, realPerSecond: 10 }));
const QUICK: Size[] = [30, 100].map((nodes) => ({ nodes, burstCalls: 200, realCalls: 50, realPerSecond: 10 }));

function readSizes(argv: readonly string[]): Size[] {
  if (argv.includes('--help')) {
    console.log('usage: scale [--quick] [--nodes N[,N…]]   100 live calls stand on each node');
    process.exit(0);
  }
  const sizes = argv.includes('--quick') ? QUICK : SIZES;
  const given = argv[argv.indexOf('--nodes') + 1];
  if (!argv.includes('--nodes') || !given) return sizes;
  return given.split(',').map((nodes) => ({ ...sizes[0]!, nodes: Number(nodes) }));
}

async function main(): Promise<void> {
  const figures: Figures[] = [];
  const started = performance.now();
  const say = (line: string): void => console.error(`${Math.round((performance.now() - started) / 1000)} s: ${line}`);
  for (const size of readSizes(process.argv)) {
    await withStores(async (stores) => {
      figures.push(await runSize(__filename, stores, size, say));
    });
  }
  printTable(figures);
  if (process.argv.includes('--json')) console.log(JSON.stringify(figures));
}

if (ownRole === 'nodes') serveRole(createStandIns(process.env.DATABASE_URL!));
else if (ownRole === 'switchyard') serveRole(createOwnSwitchyard());
else
  main().catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  });
