/** Enrols the nodes of docker-compose.yml before they start, and ends: they themselves hold their own secrets alone. */
import { createApiClient } from '../api/client';
import { enrolAsAdmin } from './enrol';
import { StartFault } from '../project';

type Env = Record<string, string | undefined>;

function need(env: Env, name: string): string {
  const value = env[name];
  if (!value) throw new StartFault(`${name} is not set.`);
  return value;
}

/** `NODE_SECRETS` is `<name>=<secret>`, with blanks between. */
export function readNodeSecrets(text: string): { name: string; secret: string }[] {
  return text.split(/\s+/).flatMap((pair) => {
    if (pair === '') return [];
    const at = pair.indexOf('=');
    if (at < 1 || at === pair.length - 1)
      throw new StartFault('NODE_SECRETS must be NAME=SECRET, with blanks between.');
    return [{ name: pair.slice(0, at), secret: pair.slice(at + 1) }];
  });
}

async function main(env: Env): Promise<void> {
  const url = need(env, 'SWITCHYARD_URL').replace(/\/+$/, '');
  const nodesUrl = (env.SWITCHYARD_NODES_URL || url).replace(/\/+$/, '');
  const api = createApiClient(url, need(env, 'SWITCHYARD_API_KEY'));
  for (const { name, secret } of readNodeSecrets(need(env, 'NODE_SECRETS'))) {
    await enrolAsAdmin(api, { xmlUrl: `${nodesUrl}/freeswitch/xml`, name, secret });
    process.stdout.write(`${name}: enrolled\n`);
  }
}

if (require.main === module) {
  main(process.env).catch((fault: unknown) => {
    process.stderr.write(`${(fault as Error).message}\n`);
    process.exit(1);
  });
}
