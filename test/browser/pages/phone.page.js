/** The page a test opens in Chromium: one JsSIP phone that answers by itself, and says what it hears and sees. */
import JsSIP from 'jssip';

let ua;
let settings;
const sessions = [];

function watch(session) {
  const kept = { session, direction: session.direction, state: 'ringing', cause: null };
  sessions.push(kept);
  const follow = (connection) =>
    connection.addEventListener('track', ({ track, streams }) => {
      const element = document.createElement(track.kind);
      element.autoplay = true;
      element.srcObject = streams[0] ?? new MediaStream([track]);
      document.body.append(element);
    });
  if (session.connection) follow(session.connection);
  else session.on('peerconnection', ({ peerconnection }) => follow(peerconnection));
  session.on('confirmed', () => (kept.state = 'talking'));
  for (const end of ['ended', 'failed']) {
    session.on(end, ({ cause, originator, message }) => {
      const status = message?.status_code ? ` ${message.status_code} ${message.reason_phrase}` : '';
      Object.assign(kept, { state: end, cause: `${originator}: ${cause}${status}` });
    });
  }
  // Silence is not sent as noise: what is heard at the other end is Chromium's beep.
  if (session.direction === 'incoming' && settings.answerAfterMs !== null) {
    setTimeout(() => {
      if (kept.state === 'ringing') session.answer(media());
    }, settings.answerAfterMs);
  }
}

function media() {
  const { iceServers = [], iceTransportPolicy = 'all' } = settings;
  return {
    mediaConstraints: settings.listens ? { audio: false, video: false } : { audio: true, video: settings.video },
    ...(settings.listens ? { rtcOfferConstraints: { offerToReceiveAudio: true } } : {}),
    pcConfig: { iceServers, iceTransportPolicy },
  };
}

const talking = () => sessions.filter(({ state }) => state === 'talking').at(-1).session;

window.phone = {
  register(given) {
    settings = { video: false, answerAfterMs: 300, ...given };
    ua = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(settings.wsUrl)],
      uri: `sip:${settings.username}@${settings.domain}`,
      ...(settings.ha1 ? { ha1: settings.ha1, realm: settings.realm } : { password: settings.password }),
      register: settings.register ?? true,
      register_expires: 120,
    });
    ua.on('newRTCSession', ({ session }) => watch(session));
    return new Promise((resolve) => {
      ua.on('registered', () => resolve('registered'));
      if (settings.register === false) ua.on('connected', () => resolve('connected'));
      ua.on('registrationFailed', ({ response, cause }) => resolve(`${response?.status_code ?? '-'} ${cause}`));
      ua.start();
    });
  },
  call(target) {
    ua.call(target.startsWith('sip:') ? target : `sip:${target}@${settings.domain}`, media());
  },
  /** As JsSIP hides a caller: From is anonymous@anonymous.invalid, with Privacy: id. */
  callHidden(target) {
    ua.call(`sip:${target}@${settings.domain}`, { ...media(), anonymous: true });
  },
  /** As JsSIP sends keys by itself: INFO with application/dtmf-relay. */
  press(digits) {
    sessions.at(-1).session.sendDTMF(digits, { duration: 100, interToneGap: 100 });
  },
  /** What the phone shows of who calls it. */
  callers() {
    return sessions.map(({ session }) => session.remote_identity.toString());
  },
  hangup() {
    for (const { session, state } of sessions) if (state === 'talking' || state === 'ringing') session.terminate();
  },
  hold: () => talking().hold(),
  unhold: () => talking().unhold(),
  async sendNothing() {
    for (const sender of talking().connection.getSenders()) await sender.replaceTrack(null);
  },
  sessions() {
    return sessions.map(({ direction, state, cause }) => ({ direction, state, cause }));
  },
  /** What came in over the call that is talking, from the peer connection's own counters. */
  async received() {
    const sum = { audioPackets: 0, audioEnergy: 0, audioCodec: '', videoPackets: 0, framesDecoded: 0, videoCodec: '' };
    const talking = sessions.filter(({ state }) => state === 'talking').at(-1);
    if (!talking) return sum;
    const report = await talking.session.connection.getStats();
    for (const entry of report.values()) {
      if (entry.type !== 'inbound-rtp') continue;
      const codec = report.get(entry.codecId)?.mimeType ?? '';
      if (entry.kind === 'audio') {
        sum.audioPackets += entry.packetsReceived;
        sum.audioEnergy += entry.totalAudioEnergy ?? 0;
        if (entry.packetsReceived) sum.audioCodec = codec;
      } else {
        sum.videoPackets += entry.packetsReceived;
        sum.framesDecoded += entry.framesDecoded ?? 0;
        if (entry.packetsReceived) sum.videoCodec = codec;
      }
    }
    return sum;
  },
  /** How this end's packets leave: `host`, `srflx`, `relay`; empty before it is known. */
  async way() {
    const talking = sessions.filter(({ state }) => state === 'talking').at(-1);
    if (!talking) return '';
    const report = await talking.session.connection.getStats();
    for (const entry of report.values()) {
      if (entry.type !== 'transport' || !entry.selectedCandidatePairId) continue;
      return report.get(report.get(entry.selectedCandidatePairId)?.localCandidateId)?.candidateType ?? '';
    }
    return '';
  },
  stop() {
    ua?.stop();
  },
};
