/** What a node is told to dial, as a value. */
import { originateCall, userEndpoint, type ApiCommand } from '../../../freeswitch/esl';
import { ATTEMPT_VARIABLE, callerNameText } from '../../../freeswitch/xml';
import { formatAddress, parseAddress, type Address } from '../address';
import type { AttemptRow, CallRow } from '../calls.store';
import { CALLS_CONTEXT } from '../../../freeswitch/contexts';

/** What a leg dials to be led to that end. */
export const extensionOf = (to: Address): string =>
  to.kind === 'user' ? to.username : to.kind === 'room' ? to.name : formatAddress(to);

/** What the caller's phone rings with; pure, and golden in its test. */
export function dialCommand(call: CallRow, attempt: AttemptRow): ApiCommand {
  const from = parseAddress(call.from_address);
  if (from.kind !== 'user') throw new Error(`a call from ${from.kind} can't be dialled`);
  const shown = extensionOf(parseAddress(call.to_address));
  return originateCall({
    legId: attempt.leg_id,
    endpoint: userEndpoint(from.username, call.domain_name),
    variables: {
      switchyard_call_id: call.id,
      switchyard_leg: 'from',
      [ATTEMPT_VARIABLE]: attempt.leg_id,
      accountcode: call.id,
      origination_caller_id_number: shown,
      origination_caller_id_name: callerNameText(call.caller_name) || shown,
      // Inside user/ FreeSWITCH counts this one, not originate_timeout, and 60 s without it.
      call_timeout: String(call.ring_timeout_seconds),
      ignore_early_media: 'true',
    },
    ringTimeoutSeconds: call.ring_timeout_seconds,
    destination: { extension: shown, dialplan: 'XML', context: CALLS_CONTEXT },
  });
}
