/** Refuses misspelt settings before `start` or `pool` does anything: what they fill in for Switchyard would hide them from it. */
import { SETTING_NAMES } from '../../src/config';
import { findMisspelt } from '../../src/config-names';
import { StartFault } from '../project';

/** What `start` alone reads; `--help` has each. */
const START_NAMES = [
  'NODE_COUNT',
  'NODE_PORT_BASE',
  'NODE_HOST',
  'NODE_PUBLIC_HOST',
  'NODE_RTP_BASE',
  'STATE_DIR',
  'POSTGRES_PORT',
  'REDIS_PORT',
  'SIMULATOR_PORT',
  'FREESWITCH_BIN',
  'FREESWITCH_USER',
] as const;

/** @throws StartFault with a line for each name that is nobody's, or a setting but for a letter or two */
export function refuseMisspelt(given: readonly string[]): void {
  const faults = findMisspelt(given, [...SETTING_NAMES, ...START_NAMES]);
  if (faults.length > 0)
    throw new StartFault(`The settings are not valid:\n${faults.map((fault) => `  ${fault}`).join('\n')}`);
}
