/** Writes down that a leg has dialled somebody else than its call was meant for. */
import { lockCall, updateCall, type LegRow } from '../../calls.store';
import { draftCallEvent, type CallEndDeps } from '../../events/call-end';

/** The call leads there from now on: its node may ask for the way to them. Nothing is told where it did so already. */
export async function noteDialledOn(deps: CallEndDeps, leg: Pick<LegRow, 'id' | 'call_id'>, to: string): Promise<void> {
  await deps.log.record(async (trx, emit) => {
    const call = await lockCall(trx, leg.call_id);
    if (!call || call.state === 'ended' || call.to_address === to) return;
    await updateCall(trx, call.id, [call.state], { to_address: to });
    emit(draftCallEvent('call.transferred', call, { to, leg: leg.id }));
  });
}
