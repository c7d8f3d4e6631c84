/** Writes down that a leg has dialled somebody else than its call was meant for. */
import type { LegRow } from '../../calls.store';
import { moveCall } from '../../events/move-calls';
import type { CallEndDeps } from '../../events/move-calls';

/** The call leads there from now on. Nothing is told where it did so already. */
export const noteDialledOn = async (
  deps: CallEndDeps,
  leg: Pick<LegRow, 'id' | 'call_id'>,
  to: string,
): Promise<void> => void (await moveCall(deps, { kind: 'redirected', callId: leg.call_id, to, legId: leg.id }));
