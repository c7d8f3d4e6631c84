/** WAV files as we write them, and as a killed or a busy writer leaves them. */
import fc from 'fast-check';
import { pcmFormat, readPcm, readWavLayout, wavBytesPerSecond, wavHeader, wavLengths } from '../../src/infra/wav';

const layoutOf = (file: Buffer) =>
  readWavLayout((at, length) => Promise.resolve(file.subarray(at, at + length)), file.length);

test('what is written is read again, whatever the rate, channels and length', async () => {
  const frames = fc.array(fc.integer({ min: -32768, max: 32767 }), { maxLength: 50 });
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(8000, 16_000, 48_000),
      fc.integer({ min: 1, max: 2 }),
      frames,
      async (rate, channels, list) => {
        const samples = list.slice(0, list.length - (list.length % channels));
        const data = Buffer.alloc(2 * samples.length);
        samples.forEach((sample, i) => data.writeInt16LE(sample, 2 * i));
        const format = pcmFormat(rate, channels);
        const file = Buffer.concat([wavHeader(format, data.length), data]);
        expect(await layoutOf(file)).toEqual({ format, dataFrom: 44, dataBytes: data.length });
        expect(wavBytesPerSecond({ format })).toBe(2 * rate * channels);
        const sound = await readPcm(file, 0);
        expect(sound!.rate).toBe(rate);
        expect([...sound!.samples].map((s) => Math.round(s * 32768))).toEqual(
          samples.filter((_, i) => i % channels === 0),
        );
      },
    ),
  );
});

test('a file whose writer said no length, or too much, is as long as it is', async () => {
  const format = pcmFormat(8000, 1);
  for (const said of [0, 5_000_000]) {
    const file = Buffer.concat([wavHeader(format, said), Buffer.alloc(160)]);
    expect(await layoutOf(file)).toMatchObject({ dataFrom: 44, dataBytes: 160 });
  }
});

test('the two lengths of a file stand where its head has them', () => {
  const head = wavHeader(pcmFormat(8000, 2), 160);
  for (const { at, length } of wavLengths(head.length + 160, { dataFrom: 44, dataBytes: 160 })) {
    expect(head.readUInt32LE(at)).toBe(length);
  }
});

test('what is no WAV file is not read', async () => {
  expect(await layoutOf(Buffer.from('not a sound at all, but a text'))).toBeUndefined();
  expect(await layoutOf(Buffer.from('RIFF\0\0\0\0AVI fmt ', 'latin1'))).toBeUndefined();
  expect(await layoutOf(Buffer.alloc(3))).toBeUndefined();
});
