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
  return [params({ 'max-bytes': 65536, validate_certs: true })];
}

/** Lets `http://…` be played; a page that is fetched may set and run nothing. */
export function httapiConf(_node: NodeSettings): Element[] {
  const denied = ['set-params', 'set-vars', 'get-vars', 'extended-data', 'execute-apps', 'expand-vars', 'dial'];
  return [
    params({ 'file-not-found-expires': 300, 'file-cache-ttl': 300 }),
    element('profiles', {}, [
      element('profile', { name: 'default' }, [
        element('params', {}),
        element(
          'permissions',
          {},
          denied.map((name) => element('permission', { name, value: false })),
        ),
      ]),
    ]),
  ];
}

/** Silence in place of music: no sound files are needed for a node to start. */
export function localStreamConf(_node: NodeSettings): Element[] {
  return [];
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
