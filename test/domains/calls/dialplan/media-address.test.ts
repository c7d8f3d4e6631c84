/** Where a phone may ask for its media: at home, behind its NAT, and nowhere else. */
import { judgeMedia } from '../../../../src/domains/calls/dialplan/media-address';

const offer = (...lines: string[]): string => ['v=0', 's=-', ...lines, ''].join('\r\n');
const AUDIO = 'm=audio 4000 RTP/AVP 0';
const judge = (address: string, from: string, allowed: string[] = []): string =>
  judgeMedia(offer(`c=IN ${address.includes(':') ? 'IP6' : 'IP4'} ${address}`, AUDIO), from, allowed);

test.each([
  ['203.0.113.5', '203.0.113.5', 'own'],
  ['192.168.1.7', '192.168.1.7', 'own'],
  ['127.0.0.1', '127.0.0.1', 'own'],
  ['0.0.0.0', '203.0.113.5', 'own'],
  ['2001:DB8::1', '2001:db8:0::1', 'own'],
  ['10.1.2.3', '203.0.113.5', 'translated'],
  ['172.31.0.1', '203.0.113.5', 'translated'],
  ['192.168.1.7', '203.0.113.5', 'translated'],
  ['100.64.0.9', '203.0.113.5', 'translated'],
  ['fd00::1', '2001:db8::1', 'translated'],
  ['198.51.100.1', '203.0.113.5', 'foreign'],
  ['172.32.0.1', '203.0.113.5', 'foreign'],
  ['127.0.0.1', '203.0.113.5', 'foreign'],
  ['127.0.0.9', '127.0.0.1', 'foreign'],
  ['::1', '2001:db8::1', 'foreign'],
  ['224.2.1.1/127', '203.0.113.5', 'foreign'],
  ['victim.example', '203.0.113.5', 'foreign'],
])('media to %s of a phone that signals from %s is %s', (address, from, judgement) => {
  expect(judge(address, from)).toBe(judgement);
});

test("a network of the operator's is open, and is followed as behind NAT", () => {
  expect(judge('198.51.100.1', '203.0.113.5', ['198.51.100.0/24'])).toBe('translated');
});

test('one foreign line is enough, in whichever section, behind whatever line end and among candidates', () => {
  const home = 'c=IN IP4 203.0.113.5';
  const away = 'c=IN IP4 198.51.100.1';
  for (const sdp of [
    offer(home, AUDIO, away),
    offer(home, AUDIO, 'm=video 4002 RTP/AVP 96', away),
    offer(home, AUDIO, home, away),
    offer(away, AUDIO, home),
    `v=0\rs=-\rc=IN IP4 198.51.100.1\r${AUDIO}\r`,
    offer('c=IN  IP4\t198.51.100.1', AUDIO),
    offer(home, AUDIO, 'a=candidate:1 1 udp 1 198.51.100.1 4000 typ host'),
  ]) {
    expect([sdp, judgeMedia(sdp, '203.0.113.5')]).toEqual([sdp, 'foreign']);
  }
});

describe('a browser', () => {
  const fields = ['a=ice-ufrag:a', 'a=ice-pwd:b', 'a=fingerprint:sha-256 AA'];
  const browser = ['c=IN IP4 198.51.100.1', 'm=audio 4000 UDP/TLS/RTP/SAVPF 111'];

  test('is left as it is', () => {
    expect(judgeMedia(offer(...browser, ...fields), '203.0.113.5')).toBe('encrypted');
    expect(judgeMedia(offer(...fields, ...browser), '203.0.113.5')).toBe('encrypted');
  });

  test('is none that lacks DTLS or ICE, or has a plain section beside', () => {
    for (const missing of fields.filter((field) => !field.startsWith('a=ice-pwd'))) {
      const rest = fields.filter((field) => field !== missing);
      expect(judgeMedia(offer(...browser, ...rest), '203.0.113.5')).toBe('foreign');
    }
    expect(judgeMedia(offer(...browser, ...fields, 'm=video 5 RTP/AVP 96'), '203.0.113.5')).toBe('foreign');
    expect(judgeMedia(offer('c=IN IP4 198.51.100.1', AUDIO, ...fields), '203.0.113.5')).toBe('foreign');
  });
});
