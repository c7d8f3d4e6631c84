/** One process that claims and gives back at random, and tells what it was granted; started by claims.test.ts. */
import { CLAIM_TTL_MS, createClaims } from '../../../src/domains/nodes/capacity/claims';
import { createLogger } from '../../../src/infra/logger';
import { createSeededRandom } from '../../../src/infra/random';
import { createRedis } from '../../../src/infra/stores/redis';

const CLAIMERS = 60;
const ROUNDS = 8;

async function main(): Promise<void> {
  const [prefix = '', nodeId = '', seed = '1', capacity = '1', wild = ''] = process.argv.slice(2);
  const redis = createRedis(process.env.REDIS_URL ?? '', createLogger('silent'));
  await redis.connect();
  const claims = createClaims(redis, prefix);
  const random = createSeededRandom(Number(seed));
  const told = { granted: [] as string[], released: [] as string[], highest: 0 };
  const claimer = async (name: string): Promise<void> => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const call = `${seed}-${name}-${round}`;
      if (!(await claims.claim(nodeId, call, 0.25 + Math.floor(random() * 8) / 4, Number(capacity), Date.now())))
        continue;
      told.granted.push(call);
      told.highest = Math.max(told.highest, ...(await claims.readTotals([nodeId], Date.now())));
      if (random() < 0.03) continue; // died with it
      if (wild) {
        await claims.resize(nodeId, call, 0.25 + Math.floor(random() * 16) / 4, Number(capacity), Date.now());
        told.highest = Math.max(told.highest, ...(await claims.readTotals([nodeId], Date.now())));
        // What was held by one that died long ago expires: to a clock further on it is gone, and counted once.
        if (random() < 0.02) await claims.readTotals([nodeId], Date.now() + CLAIM_TTL_MS + 1000);
      }
      await claims.release(nodeId, call, Date.now());
      told.released.push(call);
    }
  };
  await Promise.all(Array.from({ length: CLAIMERS }, (_, i) => claimer(String(i))));
  redis.disconnect();
  process.stdout.write(JSON.stringify(told));
}

void main();
