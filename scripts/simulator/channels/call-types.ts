/** What the parts of a simulated node may ask of its calls; calls.ts does it. */
import type { Channel } from './channel';

export type Dialled = { channel: Channel } | { cause: string };

export interface DialOptions {
  dialString: string;
  variables: Record<string, string>;
  timeoutSeconds: number;
  /** The channel that bridges. */
  by?: Channel;
  callerName: string;
  callerNumber: string;
}

export interface Calls {
  dial(o: DialOptions): Promise<Dialled>;
  hangup(channel: Channel, cause: string): void;
  answer(channel: Channel): void;
  progress(channel: Channel): void;
  bridge(a: Channel, b: Channel): void;
  open(channel: Channel): boolean;
  /** Takes a call in from a phone or another node: its channel, ready to run a plan. */
  acceptCall(o: AcceptCall): Channel | undefined;
  /** Set by the plan runner: what to do with a channel that came in. */
  route: (channel: Channel) => void;
  /** Set by the plan runner: fills `${…}` in a dial string. */
  expand: (text: string, channel?: Channel) => string;
}

export interface AcceptCall {
  profile: 'internal' | 'internode' | 'loopback';
  /** Left out: that of a SIP channel. */
  channelName?: string;
  /** Who is at the other end, however many nodes away. */
  person?: Channel['person'];
  context: string;
  destination: string;
  callerName: string;
  callerNumber: string;
  variables: Record<string, string>;
  far: Channel['far'];
}
