/** Runs simulated nodes by itself: which ones, and where they ask, comes from the environment. */
import { z } from 'zod';
import { createLogger } from '../../src/infra/logger';
import { openControl } from './control';
import { startSimulatedNode, type SimulatedNode } from './node';

const settings = z.object({
  /** [{name, xmlUrl, password, eslPort?}] */
  SIMULATOR_NODES: z
    .string()
    .transform((text, context): unknown => {
      try {
        return JSON.parse(text);
      } catch {
        context.addIssue('must be JSON');
        return z.NEVER;
      }
    })
    .pipe(
      z.array(
        z.object({ name: z.string(), xmlUrl: z.url(), password: z.string(), eslPort: z.number().int().optional() }),
      ),
    ),
  SIMULATOR_CONTROL_PORT: z.coerce.number().int().min(0).max(65535).default(0),
  SWITCHYARD_HEARTBEAT_SECONDS: z.coerce.number().min(0.05).default(2),
  LOG_LEVEL: z.string().default('info'),
});

async function main(): Promise<void> {
  const parsed = settings.safeParse(process.env);
  if (!parsed.success) throw new Error(parsed.error.issues.map((i) => `${i.path.join('.')}: ${i.message}`).join('; '));
  const s = parsed.data;
  const logger = createLogger(s.LOG_LEVEL);
  const nodes: SimulatedNode[] = await Promise.all(
    s.SIMULATOR_NODES.map((node) =>
      startSimulatedNode({ ...node, heartbeatMs: s.SWITCHYARD_HEARTBEAT_SECONDS * 1000, logger }),
    ),
  );
  const control = await openControl(nodes, s.SIMULATOR_CONTROL_PORT);
  logger.info(
    { nodes: nodes.map((n) => n.name), control: `http://127.0.0.1:${control.port}` },
    'simulated nodes are up',
  );
  const stop = (): void => {
    void Promise.all([control.close(), ...nodes.map((n) => n.kill())]).then(() => process.exit(0));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
