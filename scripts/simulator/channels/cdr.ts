/** Sends a record of every ended channel, in mod_json_cdr's form and with its retries. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NodeCore } from '../node-context';
import type { Leg } from './channel';
import { post } from '../xml-client';

/** As the node is told in json_cdr.conf. */
const TRIES = 3;
const PAUSE_MS = 2000;

/** FreeSWITCH's own: it leaves `%41` in the text as it is, because that may be encoded already. */
export function urlEncode(text: string): string {
  return text.replace(/%[0-9A-Fa-f]{2}|[^A-Za-z0-9\-_.!~*'(),/]/gu, (c) =>
    c.length === 3 && c[0] === '%' ? c : encodeURIComponent(c),
  );
}

export function cdrOf(core: NodeCore, leg: Leg): Record<string, unknown> {
  const variables: Record<string, string> = {};
  for (const [name, value] of leg.variables) variables[name] = urlEncode(value);
  return {
    'core-uuid': core.coreUuid,
    switchname: core.name,
    channel_data: { state: leg.state, direction: leg.direction, state_number: '11', flags: '', caps: '' },
    variables,
    app_log: { applications: leg.application ? [{ app_name: leg.application, app_data: leg.applicationData }] : [] },
    callflow: [
      {
        dialplan: leg.dialplan,
        profile_index: String(leg.profileIndex),
        caller_profile: {
          username: leg.variables.get('user_name') ?? '',
          dialplan: leg.dialplan,
          caller_id_name: leg.callerName,
          caller_id_number: leg.callerNumber,
          callee_id_name: leg.calleeName,
          callee_id_number: leg.calleeNumber,
          ani: leg.origNumber,
          network_addr: leg.networkAddress,
          destination_number: leg.destination,
          uuid: leg.uuid,
          source: 'mod_sofia',
          context: leg.context,
          chan_name: leg.channelName,
        },
        times: {
          created_time: String(leg.createdUs),
          profile_created_time: String(leg.createdUs),
          progress_time: String(leg.progressUs),
          progress_media_time: '0',
          answered_time: String(leg.answeredUs),
          bridged_time: String(leg.bridgedUs),
          hangup_time: String(leg.hangupUs),
          transfer_time: '0',
        },
      },
    ],
  };
}

export function postCdr(core: NodeCore, leg: Leg): void {
  const target = core.cdr;
  if (!target || core.isOver || leg.variables.get('process_cdr') === 'false') return;
  const json = JSON.stringify(cdrOf(core, leg));
  const separator = target.url.includes('?') ? '&' : '?';
  const at = target.credentials.indexOf(':');
  const attempt = async (left: number): Promise<void> => {
    const { status } = await post({
      url: `${target.url}${separator}uuid=${leg.uuid}`,
      name: target.credentials.slice(0, at),
      password: target.credentials.slice(at + 1),
      body: target.encode ? `cdr=${urlEncode(json)}` : json,
      contentType: target.encode ? 'application/x-www-form-urlencoded' : 'application/json',
      userAgent: 'freeswitch-json/1.0',
      timeoutMs: 10_000,
    });
    if (status >= 200 && status < 300) return;
    if (left > 1) return void core.later(PAUSE_MS, () => void attempt(left - 1));
    // Left on its disk, as mod_json_cdr does, and not thought of again.
    core.logger.debug({ node: core.name, status }, 'a record could not be delivered');
    writeFileSync(join(core.disk.leftRecords, `${leg.uuid}.cdr.json`), `${json}\n`);
  };
  void attempt(TRIES);
}
