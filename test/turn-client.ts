/** The least of TURN (RFC 8656) over UDP: asks for a relay with coturn's time-limited credentials, and for leave to reach a peer. */
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { isIPv4 } from 'node:net';

const COOKIE = 0x2112a442;
const ALLOCATE = 0x003;
const CREATE_PERMISSION = 0x008;
const TIMEOUT_MS = 2000;
const TRIES = 20;

type Attribute = [type: number, value: Buffer];

function attribute([type, value]: Attribute): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(value.length, 2);
  return Buffer.concat([head, value, Buffer.alloc((4 - (value.length % 4)) % 4)]);
}

function message(method: number, attributes: Attribute[], key?: Buffer): Buffer {
  const body = Buffer.concat(attributes.map(attribute));
  const head = Buffer.alloc(20);
  head.writeUInt16BE(method, 0);
  head.writeUInt16BE(body.length + (key ? 24 : 0), 2); // as if the signature stood there already
  head.writeUInt32BE(COOKIE, 4);
  randomBytes(12).copy(head, 8);
  const text = Buffer.concat([head, body]);
  return key ? Buffer.concat([text, attribute([0x0008, createHmac('sha1', key).update(text).digest()])]) : text;
}

function read(answer: Buffer): { code: number; get: (type: number) => Buffer | undefined } {
  const found = new Map<number, Buffer>();
  for (let at = 20; at + 4 <= answer.length;) {
    const length = answer.readUInt16BE(at + 2);
    found.set(answer.readUInt16BE(at), answer.subarray(at + 4, at + 4 + length));
    at += 4 + length + ((4 - (length % 4)) % 4);
  }
  const error = found.get(0x0009);
  return { code: error ? error[2]! * 100 + error[3]! : 0, get: (type) => found.get(type) };
}

function peer(address: string): Attribute {
  const value = Buffer.alloc(8);
  value[1] = 1;
  value.writeUInt16BE(9 ^ (COOKIE >>> 16), 2);
  const bytes = address.split('.').map(Number);
  value.writeUInt32BE((Buffer.from(bytes).readUInt32BE(0) ^ COOKIE) >>> 0, 4);
  return [0x0012, value];
}

/** @returns address → what the server says to reaching it: 0 where it may be, else the error's code */
export async function askPermissions(port: number, secret: string, peers: string[]): Promise<Map<string, number>> {
  if (!peers.every(isIPv4)) throw new Error('Only addresses of IPv4 can be asked for.');
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const send = async (text: Buffer): Promise<ReturnType<typeof read>> => {
    for (let tries = 0; tries < TRIES; tries += 1) {
      const answer = await new Promise<Buffer | undefined>((resolve) => {
        const timer = setTimeout(() => resolve(undefined), TIMEOUT_MS);
        socket.once('message', (data) => (clearTimeout(timer), resolve(data)));
        socket.send(text, port, '127.0.0.1');
      });
      if (answer) return read(answer);
    }
    throw new Error('The TURN server does not answer.');
  };
  try {
    const udp: Attribute = [0x0019, Buffer.from([17, 0, 0, 0])];
    const challenge = await send(message(ALLOCATE, [udp]));
    const [realm, nonce] = [challenge.get(0x0014)!, challenge.get(0x0015)!];
    const username = `${Math.floor(Date.now() / 1000) + 600}:guest`;
    const password = createHmac('sha1', secret).update(username).digest('base64');
    const key = createHash('md5').update(`${username}:${realm.toString()}:${password}`).digest();
    const login: Attribute[] = [
      [0x0006, Buffer.from(username)],
      [0x0014, realm],
      [0x0015, nonce],
    ];
    const allocated = await send(message(ALLOCATE, [udp, ...login], key));
    if (allocated.code !== 0) throw new Error(`No relay: ${allocated.code}`);
    const answers = new Map<string, number>();
    for (const address of peers)
      answers.set(address, (await send(message(CREATE_PERMISSION, [peer(address), ...login], key))).code);
    return answers;
  } finally {
    socket.close();
  }
}
