import { findFreePort } from '../../../scripts/stores/ports';
import { until } from '../../until';
import { openRtmpTarget } from './rtmp-target';
import { useRelays, type Relay } from './use-relays';

const here = useRelays();
const { addRoom, create, ask } = here;

const refused = async (room: string, body: Record<string, unknown>, message: RegExp): Promise<void> => {
  await expect(create(room, body)).rejects.toThrow(
    expect.objectContaining({ code: 'unprocessable', message: expect.stringMatching(message) }),
  );
};

test('a closed port, a silent server and one that speaks something else are refused alike, and as late', async () => {
  const room = await addRoom();
  const silent = await openRtmpTarget(0, { silent: true });
  const port = await findFreePort(); // nobody listens there
  await here.reopen({ stepTimeoutMs: 2000 });
  const urls = [
    `rtmp://127.0.0.1:${port}/l`,
    `rtmp://127.0.0.1:${silent.port}/l`,
    `rtmps://127.0.0.1:${here.target.port}/l`,
  ];
  const tooks = urls.map(async (url) => {
    const startedAt = Date.now();
    await refused(room, { url }, /: it can not be reached, or does not speak RTMP\.$/);
    return Date.now() - startedAt;
  });
  for (const took of await Promise.all(tooks)) expect(took).toBeGreaterThanOrEqual(1990);
  const told = here.lines.filter((line) => line.includes('the target of a relay was refused'));
  const details = told.map((line) => (JSON.parse(line) as { detail: string }).detail);
  expect(details).toEqual(expect.arrayContaining(['the connection was refused', expect.stringMatching(/handshake/)]));
  await silent.stop();
});

test('private names and addresses, and names nobody knows, are refused alike', async () => {
  const room = await addRoom();
  await here.reopen({ allowPrivate: false });
  for (const host of ['127.0.0.1', 'localhost', '[::1]', '[::ffff:0:127.0.0.1]', '[5f00::1]', 'nobody.invalid'])
    await refused(room, { url: `rtmp://${host}/live` }, /its name or address can not be used/);
  expect((await ask<{ items: Relay[] }>('get', '/v1/relays')).items).toEqual([]);
});

test('other schemes and ports are refused, and told which are taken', async () => {
  const room = await addRoom();
  await refused(room, { url: 'http://127.0.0.1/live' }, /rtmp:\/\//);
  const ports: [number, number][] = [
    [1935, 1935],
    [8000, 8010],
  ];
  await here.reopen({ ports });
  await refused(room, { url: 'rtmp://127.0.0.1:22/live' }, /these ports only: 1935, 8000 to 8010/);
});

test('one domain has few targets checked at once', async () => {
  const room = await addRoom();
  const silent = await openRtmpTarget(0, { silent: true });
  await here.reopen({ stepTimeoutMs: 1500 });
  const url = `rtmp://127.0.0.1:${silent.port}/live`;
  const codes = await Promise.all(Array.from({ length: 6 }, () => create(room, { url }).catch((error) => error.code)));
  expect(codes.sort()).toEqual([...Array(2).fill('rate_limited'), ...Array(4).fill('unprocessable')]);
  await refused(room, { url }, /can not be reached/);
  await silent.stop();
});

test('while the relay process is away no target is checked, and a moment later it is', async () => {
  const room = await addRoom();
  process.kill(here.relayProcess.pid!, 'SIGKILL');
  await expect(create(room)).rejects.toThrow(expect.objectContaining({ code: 'unavailable' }));
  await until('it is back', () => create(room).catch(() => undefined));
});
