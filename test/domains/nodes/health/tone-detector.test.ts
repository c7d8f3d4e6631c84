/** What counts as a tone that was heard: the tone itself, and neither silence, noise, another tone nor a click. */
import { findTone } from '../../../../src/domains/nodes/health/canary/tone-detector';
import { createSeededRandom } from '../../../../src/infra/random';
import { pcmFormat, readPcm, wavHeader } from '../../../../src/infra/wav';

const RATE = 8000;

function wav(channels: Float32Array[]): Buffer {
  const frames = channels[0]!.length;
  const data = Buffer.alloc(2 * frames * channels.length);
  for (let i = 0; i < frames; i += 1)
    channels.forEach((c, n) => data.writeInt16LE(Math.round(c[i]! * 32767), 2 * (i * channels.length + n)));
  return Buffer.concat([wavHeader(pcmFormat(RATE, channels.length), 0), data]); // as in a file that is still written
}

const made = (seconds: number, sample: (t: number) => number): Float32Array =>
  Float32Array.from({ length: seconds * RATE }, (_, i) => sample(i / RATE));
const tone =
  (hz: number, loud = 0.3) =>
  (t: number) =>
    loud * Math.sin(2 * Math.PI * hz * t);
/** The same noise each time: what is held here must not depend on luck. */
const random = createSeededRandom(7);
const noise = (): number => 0.3 * (2 * random() - 1);
const heard = (samples: Float32Array, hz = 1000) => findTone({ rate: RATE, samples }, hz);

test('a tone is found with its loudness, also in some noise', () => {
  expect(heard(made(1, tone(1000)))).toEqual({ toneMs: 1000, onsetMs: 0, levelDb: -13.5, lengthMs: 1000 });
  expect(heard(made(1, (t) => tone(1000)(t) + 0.1 * noise())).toneMs).toBe(1000);
});

test('it is told when the tone began', () => {
  expect(heard(made(1, (t) => (t < 0.4 ? 0 : tone(1000)(t))))).toMatchObject({ toneMs: 600, onsetMs: 400 });
});

test.each([
  ['silence', () => 0],
  ['noise', noise],
  ['another tone', tone(1300)],
  ['a tone nobody could hear', tone(1000, 0.001)],
])('%s is not the tone', (_, sample) => {
  expect(heard(made(1, sample)).toneMs).toBeLessThanOrEqual(40);
});

test('one side of a stereo file is read, and a file of one side whichever is asked for', async () => {
  const file = wav([made(1, () => 0), made(1, tone(700))]);
  expect(findTone((await readPcm(file, 0))!, 700).toneMs).toBe(0);
  expect(findTone((await readPcm(file, 1))!, 700).toneMs).toBe(1000);
  expect(findTone((await readPcm(wav([made(1, tone(700))]), 1))!, 700).toneMs).toBe(1000);
});

test('what is no WAV file is not read', async () => {
  expect(await readPcm(Buffer.from('not a sound at all, but a text'))).toBeUndefined();
  expect(await readPcm(Buffer.alloc(3))).toBeUndefined();
});
