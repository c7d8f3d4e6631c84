/** The page of a guest in a room: it enters by its grant, and where the room moves it follows by itself. */
import JsSIP from 'jssip';

const AGAIN_MS = 300;
const MOST_TRIES = 20;

let apiUrl;
let grant;
let media;
let events;
let current;
let painter;
/** What happened, with the page's clock; nothing of it is a secret. */
const diary = [];

function note(what, more = {}) {
  diary.push({ what, atMs: Date.now(), ...more });
}

/** Camera and microphone are asked for once: a call that follows the room does not wait for them again. */
async function openMedia({ video, paint }) {
  const camera = { width: 320, height: 240, frameRate: 10 };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: video && !paint ? camera : false });
  if (paint) stream.addTrack(paintTrack(paint, camera));
  return stream;
}

/** A video of one colour in the place of a camera's, so that people can be told apart in what the room mixes. */
function paintTrack(colour, { width, height, frameRate }) {
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  const context = canvas.getContext('2d');
  let step = 0;
  painter = setInterval(() => {
    context.fillStyle = colour;
    context.fillRect(0, 0, width, height);
    context.fillStyle = 'white'; // something that moves, else an encoder sends nothing
    context.fillRect((step += 4) % width, 0, 8, 8);
  }, 1000 / frameRate);
  return canvas.captureStream(frameRate).getVideoTracks()[0];
}

/** Leaves what it is in: the node may be dead, so nothing is waited for. */
function leave() {
  const old = current;
  current = undefined;
  if (!old) return;
  clearTimeout(old.timer);
  try {
    old.ua.stop();
  } catch (error) {
    note('stop failed', { error: String(error) });
  }
}

/** @param where wssUrl and target, as the grant or the event `participant.moved` says */
function enter(where, tries = 1) {
  leave();
  const ua = new JsSIP.UA({
    sockets: [new JsSIP.WebSocketInterface(where.wssUrl)],
    uri: grant.sipUri,
    ha1: grant.ha1,
    realm: grant.realm,
    register: false,
    connection_recovery_min_interval: 1,
    connection_recovery_max_interval: 2,
  });
  const mine = (current = { ua, where, session: undefined, state: 'connecting', cause: null, timer: undefined });
  const again = () => {
    if (current !== mine || tries >= MOST_TRIES) return;
    mine.timer = setTimeout(() => enter(where, tries + 1), AGAIN_MS);
  };
  ua.on('connected', () => {
    if (current !== mine || mine.session) return;
    note('connected', { wssUrl: where.wssUrl });
    mine.session = ua.call(where.target ?? grant.target, {
      mediaStream: media,
      pcConfig: { iceServers: grant.iceServers },
    });
    watch(mine, again);
  });
  ua.start();
}

function watch(mine, again) {
  const { session } = mine;
  mine.state = 'ringing';
  const follow = (connection) =>
    connection.addEventListener('track', ({ track }) => {
      const element = Object.assign(document.createElement(track.kind), { autoplay: true });
      element.srcObject = new MediaStream([track]);
      document.body.replaceChildren(...[...document.body.children].slice(-3), element);
    });
  if (session.connection) follow(session.connection);
  else session.on('peerconnection', ({ peerconnection }) => follow(peerconnection));
  session.on('confirmed', () => {
    mine.state = 'in';
    note('in', { wssUrl: mine.where.wssUrl });
  });
  for (const end of ['ended', 'failed']) {
    session.on(end, ({ cause, originator, message }) => {
      mine.state = end;
      mine.cause = message?.status_code ? `${message.status_code} ${message.reason_phrase}` : `${originator}: ${cause}`;
      note(end, { cause: mine.cause });
      // The room has just moved, or its node is only coming up: a moment later it is known where.
      if (end === 'failed' && (message?.status_code === 503 || cause === JsSIP.C.causes.CONNECTION_ERROR)) again();
    });
  }
}

/** The one thing that tells a page where its room went: a dead node can't. */
function followEvents() {
  const url = new URL(grant.eventsUrl, apiUrl);
  url.searchParams.set('access_token', grant.token);
  events = new EventSource(url);
  events.addEventListener('participant.moved', ({ data }) => {
    const { data: moved } = JSON.parse(data);
    if (moved.grantId !== grant.id) return;
    note('moved', { node: moved.node, reason: moved.reason });
    enter({ wssUrl: moved.wssUrl });
  });
  return new Promise((resolve) => events.addEventListener('open', resolve, { once: true }));
}

window.guest = {
  /** @param given `{apiUrl, grant, video, paint}`; resolves when it signals, not when it is in. */
  async enter(given) {
    ({ apiUrl, grant } = given);
    media ??= await openMedia(given);
    events?.close();
    await followEvents();
    enter({ wssUrl: grant.wssUrl });
  },
  /** Hangs up and stays out, until `enter` is called again. */
  leave() {
    note('left');
    events?.close();
    leave();
  },
  /** Sends neither sound nor video, and lives. */
  async sendNothing() {
    for (const sender of current.session.connection.getSenders()) await sender.replaceTrack(null);
  },
  mute: () => current.session.mute({ audio: true, video: true }),
  state: () => ({ state: current?.state ?? 'out', cause: current?.cause ?? null, node: current?.where.wssUrl ?? null }),
  diary: () => diary,
  press: (digits) => current.session.sendDTMF(digits, { transportType: 'RFC2833' }),
  /** What has come in over the call it is in now. */
  async received() {
    const sum = { audioPackets: 0, audioEnergy: 0, framesDecoded: 0, videoBytes: 0, videoBytesSent: 0, frameWidth: 0 };
    const report = await current?.session?.connection?.getStats();
    for (const entry of report?.values() ?? []) {
      if (entry.type === 'outbound-rtp' && entry.kind === 'video') sum.videoBytesSent += entry.bytesSent;
      if (entry.type !== 'inbound-rtp') continue;
      if (entry.kind === 'audio') {
        sum.audioPackets += entry.packetsReceived;
        sum.audioEnergy += entry.totalAudioEnergy ?? 0;
      } else {
        sum.framesDecoded += entry.framesDecoded ?? 0;
        sum.videoBytes += entry.bytesReceived;
        sum.frameWidth = entry.frameWidth ?? 0;
      }
    }
    return sum;
  },
  /** The mean colour of what is shown now. */
  colour() {
    const shown = [...document.querySelectorAll('video')].at(-1);
    const small = Object.assign(document.createElement('canvas'), { width: 8, height: 8 }).getContext('2d');
    if (!shown?.videoWidth) return null;
    small.drawImage(shown, 0, 0, 8, 8);
    const { data } = small.getImageData(0, 0, 8, 8);
    const mean = (from) => Math.round(data.filter((_, i) => i % 4 === from).reduce((sum, v) => sum + v, 0) / 64);
    return { red: mean(0), green: mean(1), blue: mean(2) };
  },
  stop() {
    events?.close();
    clearInterval(painter);
    leave();
  },
};
