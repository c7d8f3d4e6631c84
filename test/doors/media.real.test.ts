/** A plain phone's media at a real node: a stranger does not take it over, and it is sent to nobody else. */
import { createSocket, type Socket } from 'node:dgram';
import { setTimeout as wait } from 'node:timers/promises';
import { describeWithRealNode } from '../real-node';
import { useStores } from '../stores';
import { until } from '../until';
import { ALPHA, startHostileApp, type Call, type HostileApp } from './hostile-app';
import { sdpOf, type RawAnswer } from './raw-sip';

const PHONE = '127.0.0.1';
const STRANGER = '127.0.0.66';
const FRAME_MS = 20;

interface Media {
  port: number;
  /** Payloads of the packets that came. */
  got: number[];
  close(): void;
}

async function openMedia(address: string): Promise<Media & { socket: Socket }> {
  const socket = createSocket('udp4');
  await new Promise<void>((done) => socket.bind(0, address, done));
  const got: number[] = [];
  socket.on('message', (packet) => got.push(packet[100] ?? -1));
  return { socket, port: socket.address().port, got, close: () => socket.close() };
}

/** PCMU, every byte of it the same. @returns once all are sent */
async function sendSound(from: { socket: Socket }, toPort: number, byte: number, packets: number): Promise<void> {
  for (let n = 0; n < packets; n++) {
    const packet = Buffer.alloc(172, byte);
    packet.set([0x80, 0, n >> 8, n & 0xff]);
    packet.writeUInt32BE(n * 160, 4);
    packet.writeUInt32BE(byte, 8);
    from.socket.send(packet, toPort, '127.0.0.1');
    await wait(FRAME_MS);
  }
}

const portOf = (answer: RawAnswer): number => Number(/m=audio (\d+)/.exec(answer.message.body)?.[1]);

describeWithRealNode('media of a plain phone at a real node', (freeswitch) => {
  const stores = useStores();
  let app: HostileApp;
  const open: Media[] = [];
  const media = async (address: string): Promise<Awaited<ReturnType<typeof openMedia>>> => {
    const opened = await openMedia(address);
    open.push(opened);
    return opened;
  };
  beforeAll(async () => {
    app = await startHostileApp(freeswitch, stores);
  }, 300_000);
  afterAll(async () => {
    for (const each of open) each.close();
    await app?.close();
  });

  test('a stranger who sends before the phone hears nothing, and the phone is heard when it speaks', async () => {
    const [phone, stranger] = [await media(PHONE), await media(STRANGER)];
    const answer = await app.call(app.mallory, 'mallory', ALPHA, '9196', { body: sdpOf(PHONE, phone.port) });
    expect(answer.status).toBe(200);
    await sendSound(stranger, portOf(answer), 0x55, 60);
    const strangers = sendSound(stranger, portOf(answer), 0x55, 100);
    await sendSound(phone, portOf(answer), 0x22, 60);
    await until('the phone hears its echo', () => phone.got.filter((byte) => byte === 0x22).length > 20);
    await strangers;
    expect(stranger.got).toEqual([]);
    expect(phone.got).not.toContain(0x55);
    await app.inDialog(app.mallory, answer.dialog!, 'BYE');
    await app.noChannels();
  });

  test.each(['9196', 'daily'])(
    'media for somebody else is refused to who calls %s, and no call is kept',
    async (to) => {
      const victim = await media('127.0.0.9');
      const countCalls = async (): Promise<number> =>
        (await app.pool.api.get<{ items: Call[] }>('/v1/calls?limit=100')).items.length;
      const before = await countCalls();
      const body = sdpOf('127.0.0.9', victim.port);
      expect((await app.call(app.mallory, 'mallory', ALPHA, to, { body })).status).toBe(488);
      const { guest } = app;
      const asGuest = await app.call(app.mallory, guest.username, ALPHA, to, { body, login: guest });
      expect(asGuest.status).toBe(488);
      await app.noChannels();
      expect(victim.got).toEqual([]);
      expect(await countCalls()).toBe(before);
    },
  );

  test('a phone behind NAT, which names its inner address, is followed to where it sends from', async () => {
    const phone = await media(PHONE);
    const answer = await app.call(app.mallory, 'mallory', ALPHA, '9196', {
      body: sdpOf('10.255.255.1', phone.port),
    });
    expect(answer.status).toBe(200);
    await sendSound(phone, portOf(answer), 0x22, 60);
    await until('the phone hears its echo', () => phone.got.filter((byte) => byte === 0x22).length > 20);
    await app.inDialog(app.mallory, answer.dialog!, 'BYE');
    await app.noChannels();
  });
});
