/** A name server for one test: SRV records of a pool's nodes, as an operator gives them to telephones. */
import { createSocket } from 'node:dgram';

export interface NameServer {
  readonly port: number;
  close(): void;
}

const SRV = 33;
const A = 1;

const encodeName = (name: string): Buffer =>
  Buffer.concat([
    ...name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)])),
    Buffer.from([0]),
  ]);

function record(type: number, data: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc00c, 0); // the name that was asked for
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(5, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

function srv(priority: number, port: number, target: string): Buffer {
  const head = Buffer.alloc(6);
  head.writeUInt16BE(priority, 0);
  head.writeUInt16BE(10, 2);
  head.writeUInt16BE(port, 4);
  return record(SRV, Buffer.concat([head, encodeName(target)]));
}

/** @param ports of the nodes on this machine, the first preferred; they are called n1.test, n2.test … */
export async function startNameServer(service: string, ports: readonly number[]): Promise<NameServer> {
  const socket = createSocket('udp4');
  socket.on('message', (query, from) => {
    const labels: string[] = [];
    let at = 12;
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.subarray(at + 1, at + 1 + length).toString());
      at += 1 + length;
    }
    const name = labels.join('.').toLowerCase();
    const type = query.readUInt16BE(at + 1);
    const answers =
      type === SRV && name === service
        ? ports.map((port, index) => srv(index + 1, port, `n${index + 1}.test`))
        : type === A && /^n\d\.test$/.test(name)
          ? [record(A, Buffer.from([127, 0, 0, 1]))]
          : [];
    const head = Buffer.alloc(12);
    query.copy(head, 0, 0, 2);
    head.writeUInt16BE(0x8180, 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(answers.length, 6);
    socket.send(Buffer.concat([head, query.subarray(12, at + 5), ...answers]), from.port, from.address);
  });
  await new Promise<void>((done) => socket.bind(0, '127.0.0.1', done));
  return { port: socket.address().port, close: () => socket.close() };
}
