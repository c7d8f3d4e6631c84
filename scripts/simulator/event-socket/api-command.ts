/** What a command of a simulated node is made of, so that each kind can stand in a file of its own. */
import type { Calls } from '../channels/call-types';
import type { NodeContext } from '../node-context';
import { splitWords } from '../channels/dial-string';
import type { Channel } from '../channels/channel';
import type { Plans } from '../channels/plan';
import type { Registrar } from '../phones/registrar';
import type { Rooms } from '../conference/rooms';

export const NO_CHANNEL = '-ERR No such channel!\n';

export interface NodeParts {
  node: NodeContext;
  calls: Calls;
  registrar: Registrar;
  rooms: Rooms;
  plans: () => Plans;
}

export type Command = (parts: NodeParts, rest: string) => string;

/** A command on one channel; the first word is its uuid. */
export const onChannel =
  (
    act: (parts: NodeParts, channel: Channel, words: string[]) => string,
    missing = NO_CHANNEL,
    usage = '-USAGE: <uuid>\n',
  ): Command =>
  (parts, rest) => {
    const [uuid, ...words] = splitWords(rest);
    if (!uuid) return usage;
    const channel = parts.node.channels.get(uuid);
    return channel ? act(parts, channel, words) : missing;
  };
