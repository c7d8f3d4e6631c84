/** Sends a record of every ended channel, in mod_json_cdr's form and with its retries. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NodeContext } from '../node-context';
import type { Channel } from './channel';
import { post } from '../xml-client';

/** As the node is told in json_cdr.conf. */
const TRIES = 3;
const PAUSE_MS = 2000;

/** FreeSWITCH's own: it leaves `%41` in the text as it is, because that may be encoded already. */
function urlEncode(text: string): string {
  return text.replace(/%[0-9A-Fa-f]{2}|[^A-Za-z0-9\-_.!~*'(),/]/gu, (c) =>
    c.length === 3 && c[0] === '%' ? c : encodeURIComponent(c),
  );
}

function cdrOf(node: NodeContext, channel: Channel): Record<string, unknown> {
  const variables: Record<string, string> = {};
  for (const [name, value] of channel.variables) variables[name] = urlEncode(value);
  return {
    'core-uuid': node.coreUuid,
    switchname: node.name,
    channel_data: { state: channel.state, direction: channel.direction, state_number: '11', flags: '', caps: '' },
    variables,
    app_log: {
      applications: channel.application ? [{ app_name: channel.application, app_data: channel.applicationData }] : [],
    },
    callflow: [
      {
        dialplan: channel.dialplan,
        profile_index: String(channel.profileIndex),
        caller_profile: {
          username: channel.variables.get('user_name') ?? '',
          dialplan: channel.dialplan,
          caller_id_name: channel.callerName,
          caller_id_number: channel.callerNumber,
          callee_id_name: channel.calleeName,
          callee_id_number: channel.calleeNumber,
          ani: channel.origNumber,
          network_addr: channel.networkAddress,
          destination_number: channel.destination,
          uuid: channel.uuid,
          source: 'mod_sofia',
          context: channel.context,
          chan_name: channel.channelName,
        },
        times: {
          created_time: String(channel.createdUs),
          profile_created_time: String(channel.createdUs),
          progress_time: String(channel.progressUs),
          progress_media_time: '0',
          answered_time: String(channel.answeredUs),
          bridged_time: String(channel.bridgedUs),
          hangup_time: String(channel.hangupUs),
          transfer_time: '0',
        },
      },
    ],
  };
}

export function postCdr(node: NodeContext, channel: Channel): void {
  const target = node.cdr;
  if (!target || node.isOver || channel.variables.get('process_cdr') === 'false') return;
  const json = JSON.stringify(cdrOf(node, channel));
  const separator = target.url.includes('?') ? '&' : '?';
  const at = target.credentials.indexOf(':');
  const attempt = async (left: number): Promise<void> => {
    const { status } = await post({
      url: `${target.url}${separator}uuid=${channel.uuid}`,
      name: target.credentials.slice(0, at),
      password: target.credentials.slice(at + 1),
      body: target.encode ? `cdr=${urlEncode(json)}` : json,
      contentType: target.encode ? 'application/x-www-form-urlencoded' : 'application/json',
      userAgent: 'freeswitch-json/1.0',
      timeoutMs: 10_000,
    });
    if (status >= 200 && status < 300) return;
    if (left > 1) return void node.later(PAUSE_MS, () => void attempt(left - 1));
    // Left on its disk, as mod_json_cdr does, and not thought of again.
    node.logger.debug({ node: node.name, status }, 'a record could not be delivered');
    writeFileSync(join(node.disk.leftRecords, `${channel.uuid}.cdr.json`), `${json}\n`);
  };
  void attempt(TRIES);
}
