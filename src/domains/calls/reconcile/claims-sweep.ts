/** Gives back claims that nothing needs: their release was lost with Redis, or their owner died before it wrote a row. */
import { isId } from '../../../infra/ids';
import type { Claims } from '../../nodes/capacity/claims';
import { listNodeRows } from '../../nodes/nodes.store';
import type { CallEndDeps } from '../events/move-calls';
import { listNeeded } from './sweep.store';

/** A claim is made before the row that needs it is written: only one that two looks have found idle is given back. */
export interface ClaimsSweep {
  /** @returns how many were given back */
  run(now: Date): Promise<number>;
}

/** Between two looks; longer than any call takes to be written after its claim. */
const LOOK_EVERY_MS = 15_000;

export function createClaimsSweep(
  deps: Pick<CallEndDeps, 'db' | 'logger' | 'countOrphan'> & { claims: Claims },
): ClaimsSweep {
  let suspects = new Set<string>();
  let lastMs = 0;
  return {
    async run(now) {
      if (now.getTime() - lastMs < LOOK_EVERY_MS) return 0;
      lastMs = now.getTime();
      const idle = new Set<string>();
      let released = 0;
      for (const node of await listNodeRows(deps.db)) {
        const held = (await deps.claims.listClaims(node.id)).filter((id) => isId(id));
        const needed = held.length > 0 ? await listNeeded(deps.db, node.id, held) : new Set<string>();
        for (const id of held) {
          if (needed.has(id)) continue;
          const key = `${node.id} ${id}`;
          if (!suspects.has(key)) {
            idle.add(key);
            continue;
          }
          await deps.claims.release(node.id, id, now.getTime());
          released += 1;
        }
      }
      suspects = idle;
      if (released > 0) deps.countOrphan?.('claim', released);
      if (released > 0) deps.logger.warn({ released }, 'claims of nothing that lives were given back');
      return released;
    },
  };
}
