/** The process of one replica: Switchyard as it starts for users, with a leash to the run that started it. */
import { readConfig } from '../../../src/config';
import { createLogger } from '../../../src/infra/logger';
import { startSwitchyard } from '../../../src/main';
import { serveOrders } from './orders';

const config = readConfig(process.env);
const starting = startSwitchyard(config, createLogger(config.logLevel));
starting.catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : 'failed'}\n`);
  process.exit(1);
});
serveOrders({
  ready: async () => (await starting).url,
  async stop() {
    await (await starting).stop();
    setImmediate(() => process.exit(0));
  },
});
