/** One simulated channel: what FreeSWITCH keeps of it, and the headers its events carry. */
import type { PhoneBehaviour } from '../phones/phone-behaviour';

/** The other end of a channel: a phone, or a channel of another node. */
export interface FarEnd {
  ringing?(): void;
  answered?(): void;
  /** The node plays something to it, or stops. */
  heard?(sounding: boolean, toneHz?: number): void;
  /** The node sends keys to it. */
  pressed?(digits: string): void;
  /** The node ended it. */
  ended(cause: string): void;
}

export type AnswerState = 'ringing' | 'early' | 'answered' | 'hangup';

const STATE_NUMBERS: Record<string, number> = {
  CS_INIT: 1,
  CS_ROUTING: 2,
  CS_CONSUME_MEDIA: 7,
  CS_EXECUTE: 4,
  CS_EXCHANGE_MEDIA: 5,
  CS_PARK: 6,
  CS_HANGUP: 10,
  CS_REPORTING: 11,
};

/** What a channel is born with. */
export interface ChannelOrigin {
  uuid: string;
  direction: 'inbound' | 'outbound';
  channelName: string;
  profile: string;
  callerName: string;
  callerNumber: string;
  destination: string;
  context: string;
  createdUs: number;
}

export class Channel {
  state = 'CS_INIT';
  callState = 'DOWN';
  answerState: AnswerState = 'ringing';
  cause?: string;
  calleeName = 'Outbound Call';
  calleeNumber = '';
  dialplan = '';
  rdnis = '';
  application = '';
  applicationData = '';
  networkAddress = '';
  profileIndex = 1;
  answeredUs = 0;
  progressUs = 0;
  bridgedUs = 0;
  hangupUs = 0;
  /** Whose data the Other-Leg headers show, and what that one is to this. */
  other?: { channel: Channel; type: 'originator' | 'originatee' };
  /** Bridged with at this moment. */
  peer?: Channel;
  /** It was joined to its peer by a command: with either the other ends. */
  endsWithPeer = false;
  far?: FarEnd;
  /** Who holds the phone at the other end, wherever that is. */
  person?: () => PhoneBehaviour;
  hasVideo = false;
  /** The same in every room of its life: FreeSWITCH keeps it with the channel. */
  memberId?: number;
  /** Ends its stay in a room; set while it is in one. */
  leaveRoom?: () => void;
  /** Set while it is in a room: its sound began, or ended. */
  onTalk?: (talking: boolean) => void;
  isSounding = false;
  /** What comes from its other end is a tone of so many Hz. */
  tone?: number;
  /** Set while it is in a room: the tone it hears of the others, if any. */
  hears?: () => number | undefined;
  /** Keys that were pressed and not taken yet. */
  digits = '';
  onDigits?: () => void;
  readonly variables = new Map<string, string>();
  /** Each run of a plan has a number, so that one that was transferred away from stops. */
  run = 0;
  /** Called when the channel begins to end, before its events are told. */
  onEnd: ((cause: string) => void)[] = [];

  readonly uuid: string;
  readonly direction: 'inbound' | 'outbound';
  readonly channelName: string;
  readonly profile: string;
  callerName: string;
  callerNumber: string;
  destination: string;
  context: string;
  readonly createdUs: number;

  constructor(o: ChannelOrigin) {
    this.uuid = o.uuid;
    this.direction = o.direction;
    this.channelName = o.channelName;
    this.profile = o.profile;
    this.callerName = o.callerName;
    this.callerNumber = o.callerNumber;
    this.destination = o.destination;
    this.context = o.context;
    this.createdUs = o.createdUs;
    this.origName = o.callerName;
    this.origNumber = o.callerNumber;
  }

  readonly origName: string;
  readonly origNumber: string;

  get isOver(): boolean {
    return this.cause !== undefined;
  }

  /** Headers from Channel-State on, in the order a node writes them. */
  headers(variables = true): Record<string, string> {
    const h: Record<string, string> = {
      'Channel-State': this.state,
      'Channel-Call-State': this.callState,
      'Channel-State-Number': String(STATE_NUMBERS[this.state] ?? 0),
      'Channel-Name': this.channelName,
      'Unique-ID': this.uuid,
      'Call-Direction': this.direction,
      'Presence-Call-Direction': this.direction,
      'Channel-HIT-Dialplan': String(this.profileIndex > 1 || this.direction === 'inbound'),
    };
    const presence = this.variables.get('presence_id');
    if (presence) h['Channel-Presence-ID'] = presence;
    h['Channel-Call-UUID'] = this.variables.get('call_uuid') ?? this.uuid;
    h['Answer-State'] = this.answerState;
    if (this.answeredUs > 0) {
      for (const way of ['Read', 'Write']) {
        h[`Channel-${way}-Codec-Name`] = 'PCMU';
        h[`Channel-${way}-Codec-Rate`] = '8000';
        h[`Channel-${way}-Codec-Bit-Rate`] = '64000';
      }
    }
    this.writeProfile(h, 'Caller');
    if (this.other) {
      h['Other-Type'] = this.other.type;
      this.other.channel.writeProfile(h, 'Other-Leg');
    }
    if (variables) for (const [name, value] of this.variables) h[`variable_${name}`] = value;
    return h;
  }

  /** The caller profile under a prefix: Caller, Other-Leg or Hunt. */
  writeProfile(h: Record<string, string>, prefix: string): void {
    const put = (name: string, value: string): void => void (h[`${prefix}-${name}`] = value);
    put('Direction', this.direction);
    put('Logical-Direction', this.direction);
    if (prefix === 'Caller' || prefix === 'Hunt') {
      if (this.variables.has('user_name')) put('Username', this.variables.get('user_name')!);
    }
    if (this.dialplan) put('Dialplan', this.dialplan);
    put('Caller-ID-Name', this.callerName);
    put('Caller-ID-Number', this.callerNumber);
    put('Orig-Caller-ID-Name', this.origName.replace(/\$\{/g, '%{'));
    put('Orig-Caller-ID-Number', this.origNumber);
    put('Callee-ID-Name', this.calleeName);
    put('Callee-ID-Number', this.calleeNumber);
    if (this.networkAddress) put('Network-Addr', this.networkAddress);
    put('ANI', this.origNumber);
    put('Destination-Number', this.destination);
    put('Unique-ID', this.uuid);
    put('Source', this.direction === 'outbound' ? 'src/switch_ivr_originate.c' : 'mod_sofia');
    put('Context', this.context);
    if (this.rdnis) put('RDNIS', this.rdnis);
    put('Channel-Name', this.channelName);
    put('Profile-Index', String(this.profileIndex));
    const times: [string, number][] = [
      ['Profile-Created', this.createdUs],
      ['Channel-Created', this.createdUs],
      ['Channel-Answered', this.answeredUs],
      ['Channel-Progress', this.progressUs],
      ['Channel-Progress-Media', 0],
      ['Channel-Hangup', this.hangupUs],
      ['Channel-Transfer', 0],
      ['Channel-Resurrect', 0],
      ['Channel-Bridged', this.bridgedUs],
    ];
    for (const [name, us] of times) put(`${name}-Time`, String(us));
    put('Channel-Last-Hold', '0');
    put('Channel-Hold-Accum', '0');
    put('Screen-Bit', 'true');
    const isHidden = String(this.direction === 'inbound' && this.variables.get('sip_Privacy') === 'id');
    put('Privacy-Hide-Name', isHidden);
    put('Privacy-Hide-Number', isHidden);
  }

  /** One row of `show channels as json`. */
  row(hostname: string): Record<string, string> {
    const active = this.answeredUs > 0;
    return {
      uuid: this.uuid,
      direction: this.direction,
      created: new Date(this.createdUs / 1000).toISOString().slice(0, 19).replace('T', ' '),
      created_epoch: String(Math.floor(this.createdUs / 1e6)),
      name: this.channelName,
      state: this.state,
      cid_name: this.callerName,
      cid_num: this.callerNumber,
      ip_addr: this.networkAddress,
      dest: this.destination,
      application: this.application,
      application_data: this.applicationData,
      dialplan: this.dialplan,
      context: this.context,
      read_codec: active ? 'PCMU' : '',
      read_rate: active ? '8000' : '',
      read_bit_rate: active ? '64000' : '',
      write_codec: active ? 'PCMU' : '',
      write_rate: active ? '8000' : '',
      write_bit_rate: active ? '64000' : '',
      secure: '',
      hostname,
      presence_id: this.variables.get('presence_id') ?? '',
      presence_data: '',
      // A real node writes it when the channel first runs a plan, so one that rings has none.
      accountcode: active || this.direction === 'inbound' ? (this.variables.get('accountcode') ?? '') : '',
      callstate: this.callState,
      callee_name: this.calleeName,
      callee_num: this.calleeNumber,
      callee_direction: '',
      call_uuid: this.variables.get('call_uuid') ?? this.uuid,
      sent_callee_name: '',
      sent_callee_num: '',
      initial_cid_name: this.origName,
      initial_cid_num: this.origNumber,
      initial_ip_addr: '',
      initial_dest: this.rdnis || this.destination,
      initial_dialplan: '',
      initial_context: 'default',
    };
  }
}
