/** The small configurations: modules that only want to be answered, and those that need one or two lines. */
import { element, params, type Element } from '../document';
import type { NodeSettings } from './settings';

/** Some modules refuse to start without an answer, and want nothing in it. */
export function emptyConf(_node: NodeSettings): Element[] {
  return [element('settings')];
}

const LEVELS = 'console,info,notice,warning,err,crit,alert';

export function consoleConf(_node: NodeSettings): Element[] {
  return [
    element('mappings', {}, [element('map', { name: 'all', value: LEVELS })]),
    params({ colorize: false, loglevel: 'info' }),
  ];
}

/** One file in the node's log folder; `uuid` puts the channel before each line. */
export function logfileConf(_node: NodeSettings): Element[] {
  return [
    params({ 'rotate-on-hup': true }),
    element('profiles', {}, [
      element('profile', { name: 'default' }, [
        params({ rollover: 104857600, 'maximum-rotate': 5, uuid: true }),
        element('mappings', {}, [element('map', { name: 'all', value: LEVELS })]),
      ]),
    ]),
  ];
}

export function curlConf(_node: NodeSettings): Element[] {
  return [params({ 'max-bytes': 65536 })];
}

/** Read after the modules are up; the session limits of switch.conf stay as they are. */
export function postLoadSwitchConf(_node: NodeSettings): Element[] {
  return [element('settings')];
}

/** What a node runs on; it has the operating system's zones besides. */
export function timezonesConf(_node: NodeSettings): Element[] {
  return [
    element('timezones', {}, [
      element('zone', { name: 'UTC', value: 'UTC0' }),
      element('zone', { name: 'GMT', value: 'GMT0' }),
    ]),
  ];
}
