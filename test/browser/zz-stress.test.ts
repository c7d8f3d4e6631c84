/** scratch */
import { writeFileSync } from 'node:fs';
import { crc32, deflateSync } from 'node:zlib';
import { randomBytes } from 'node:crypto';
import { useStores } from '../stores';
import { describeWithBrowser, openBrowserHouse, type BrowserHouse } from './browser';
import { startRealPool, type RealPool } from './real-pool';
import { isIn, openRoomHouse } from './room-house';
import { openConnection } from '../../src/freeswitch/esl';
import { decryptSecret } from '../../src/infra/secrets';
const W = 1280, H = 720;
function paint(alpha: boolean): Buffer {
  const n = alpha ? 4 : 3;
  const rows = Buffer.alloc(H * (1 + W * n), 150);
  for (let y = 0; y < H; y++) rows[y * (1 + W * n)] = 0;
  const header = Buffer.alloc(13);
  header.writeUInt32BE(W, 0); header.writeUInt32BE(H, 4); header.set([8, alpha ? 6 : 2, 0, 0, 0], 8);
  const chunk = (type: string, data: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length); sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  return Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), chunk('IHDR', header), chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))]);
}
describeWithBrowser('stress', (freeswitch, chromium) => {
  let pool: RealPool; let browsers: BrowserHouse;
  afterAll(async () => { await browsers?.close(); await pool?.stop(); }, 30_000);
  const stores = useStores();
  const secret = randomBytes(32);
  beforeAll(async () => {
    [pool, browsers] = await Promise.all([startRealPool(freeswitch, stores, 1, { SWITCHYARD_SECRET: secret.toString('base64') }), openBrowserHouse(chromium)]);
    await pool.api.post('/v1/domains', { name: 's.test' });
  }, 90_000);
  it('stress', async () => {
    const room = await openRoomHouse(pool, browsers, 's.test', { name: 'r', layout: '2x1', video: { width: W, height: H, fps: 25 } });
    const g = await room.openGuest('A', { paint: '#2040ff' });
    await g.enter();
    const { picture } = await room.see('in', (s) => isIn(s, 1));
    await new Promise((r) => setTimeout(r, 2000));
    writeFileSync('/tmp/st.png', paint(process.env.ALPHA === '1'));
    const row = await stores.db('nodes').first();
    const c = await openConnection({ host: row.host, port: row.esl_port, password: decryptSecret(secret, row.esl_password_sealed), connectTimeoutMs: 5000, commandTimeoutMs: 5000 } as never);
    const id = picture.session!.id;
    const cmd = process.env.STRESS ?? 'vid-fgimg';
    let n = 0;
    try {
      for (; n < 300; n += 1) {
        if (cmd === 'layout') { await c.api({ line: `conference ${id} vid-layout 2x1` }, 5000); await new Promise((r) => setTimeout(r, 60)); continue; }
        await c.api({ line: `conference ${id} ${cmd} /tmp/st.png` }, 5000);
        await new Promise((r) => setTimeout(r, Math.random() * 60));
        await c.api({ line: `conference ${id} ${cmd} /tmp/none.png` }, 5000);
        await new Promise((r) => setTimeout(r, Math.random() * 20));
      }
      process.stdout.write(`survived ${n}\n`);
    } catch (e) { process.stdout.write(`died after ${n}: ${String(e)}\n${pool.nodes[0]!.process.lastLines()}\n`); }
    c.close?.();
  }, 120_000);
});
