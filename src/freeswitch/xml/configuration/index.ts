/** Answers the configuration questions of a node: it starts with three files and one URL, and gets the rest here. */
import { documentXml, element, type Element } from '../document';
import { conferenceConf, type RoomConfiguration } from './conference';
import { conferenceLayoutsConf, sessionOfLayouts } from './layouts';
import { avcodecConf, avformatConf, opusConf, vpxConf } from './media';
import { aclConf, eventSocketConf, jsonCdrConf } from './control';
import { consoleConf, curlConf, emptyConf, logfileConf, postLoadSwitchConf, timezonesConf } from './plain';
import type { NodeSettings } from './settings';
import { sofiaConf } from './sofia';

export { controlNetworks, MARKED_ADDRESS, markLists } from './control';
export type { NodeSettings } from './settings';

const ANSWERS: Record<string, (node: NodeSettings, room?: RoomConfiguration) => Element[]> = {
  'acl.conf': aclConf,
  'avcodec.conf': avcodecConf,
  'avformat.conf': avformatConf,
  'conference.conf': conferenceConf,
  'conference_layouts.conf': conferenceLayoutsConf,
  'console.conf': consoleConf,
  'curl.conf': curlConf,
  'db.conf': emptyConf,
  'event_socket.conf': eventSocketConf,
  'hash.conf': emptyConf,
  'json_cdr.conf': jsonCdrConf,
  'loopback.conf': emptyConf,
  'logfile.conf': logfileConf,
  'opus.conf': opusConf,
  'post_load_modules.conf': emptyConf,
  'post_load_switch.conf': postLoadSwitchConf,
  'sndfile.conf': emptyConf,
  'sofia.conf': sofiaConf,
  'timezones.conf': timezonesConf,
  'vpx.conf': vpxConf,
};

/** Everything that is answered; the rest is "not found". @internal */
export const CONFIGURATION_NAMES: readonly string[] = Object.keys(ANSWERS);

/**
 * The answer, or undefined where there is none.
 * @param room where a room that is about to start is what is asked for
 */
export function configurationXml(name: string, node: NodeSettings, room?: RoomConfiguration): string | undefined {
  const kind = sessionOfLayouts(name) === undefined ? name : 'conference_layouts.conf';
  if (!Object.hasOwn(ANSWERS, kind)) return undefined;
  return documentXml('configuration', [element('configuration', { name }, ANSWERS[kind]!(node, room))]);
}
