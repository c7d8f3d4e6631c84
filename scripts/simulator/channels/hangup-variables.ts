/** What FreeSWITCH adds to a channel's variables when it ends: Switchyard settles calls by them. */
import type { Channel } from './channel';

const Q850: Record<string, string> = {
  NORMAL_CLEARING: '16',
  USER_BUSY: '17',
  NO_USER_RESPONSE: '18',
  NO_ANSWER: '19',
  SUBSCRIBER_ABSENT: '20',
  CALL_REJECTED: '21',
  UNALLOCATED_NUMBER: '1',
  NO_ROUTE_DESTINATION: '3',
  NORMAL_TEMPORARY_FAILURE: '41',
  ORIGINATOR_CANCEL: '487',
  LOSE_RACE: '502',
  USER_NOT_REGISTERED: '606',
};

/** Writes the cause and the times that a channel's last events and its record carry. */
export function finishVariables(channel: Channel): void {
  const put = (name: string, value: string): void => void channel.variables.set(name, value);
  const seconds = (from: number): string => (from > 0 ? String(Math.round((channel.hangupUs - from) / 1e6)) : '0');
  put('hangup_cause', channel.cause!);
  put('hangup_cause_q850', Q850[channel.cause!] ?? '16');
  const times: [string, number][] = [
    ['start', channel.createdUs],
    ['answer', channel.answeredUs],
    ['bridge', channel.bridgedUs],
    ['progress', channel.progressUs],
    ['end', channel.hangupUs],
  ];
  for (const [name, us] of times) {
    if (us > 0) put(`${name}_stamp`, new Date(us / 1000).toISOString().slice(0, 19).replace('T', ' '));
    put(`${name}_epoch`, String(Math.floor(us / 1e6)));
    put(`${name}_uepoch`, String(us));
  }
  put('duration', seconds(channel.createdUs));
  put('billsec', seconds(channel.answeredUs));
  put('mduration', String(Math.round((channel.hangupUs - channel.createdUs) / 1000)));
  put('billmsec', channel.answeredUs > 0 ? String(Math.round((channel.hangupUs - channel.answeredUs) / 1000)) : '0');
}
