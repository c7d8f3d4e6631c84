/** RTMP's commands are written in AMF0: the few of its types that publishing needs, read and written as plain values. */
import { RtmpFault } from './fault';

export type AmfValue = number | boolean | string | null | AmfValue[] | { [name: string]: AmfValue };

const NUMBER = 0;
const BOOLEAN = 1;
const STRING = 2;
const OBJECT = 3;
const NULL = 5;
const UNDEFINED = 6;
const ECMA_ARRAY = 8;
const OBJECT_END = 9;
const STRICT_ARRAY = 10;
const DATE = 11;
const LONG_STRING = 12;
/** Deeper nesting is nobody's command. */
const MAX_DEPTH = 8;
/** A stream's description has about twenty values. */
const MAX_VALUES = 1000;

export function encodeAmf(values: readonly AmfValue[]): Buffer {
  return Buffer.concat(values.map(encodeValue));
}

function encodeValue(value: AmfValue): Buffer {
  if (value === null) return Buffer.from([NULL]);
  if (typeof value === 'boolean') return Buffer.from([BOOLEAN, value ? 1 : 0]);
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(9);
    bytes.writeDoubleBE(value, 1);
    return bytes;
  }
  if (typeof value === 'string') return Buffer.concat([Buffer.from([STRING]), encodeName(value)]);
  if (Array.isArray(value)) {
    const head = Buffer.from([STRICT_ARRAY, 0, 0, 0, 0]);
    head.writeUInt32BE(value.length, 1);
    return Buffer.concat([head, ...value.map(encodeValue)]);
  }
  const fields = Object.entries(value).flatMap(([name, field]) => [encodeName(name), encodeValue(field)]);
  return Buffer.concat([Buffer.from([OBJECT]), ...fields, Buffer.from([0, 0, OBJECT_END])]);
}

function encodeName(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  const head = Buffer.alloc(2);
  head.writeUInt16BE(bytes.length);
  return Buffer.concat([head, bytes]);
}

/**
 * Bounded in depth and number; the bytes are bounded by whoever took the message in.
 * @throws RtmpFault, or RangeError where the bytes end too early
 */
export function decodeAmf(bytes: Buffer): AmfValue[] {
  const reader = new Reader(bytes);
  const values: AmfValue[] = [];
  while (reader.left > 0) values.push(reader.value(0));
  return values;
}

class Reader {
  private at = 0;
  private values = 0;
  constructor(private readonly bytes: Buffer) {}

  get left(): number {
    return this.bytes.length - this.at;
  }

  value(depth: number): AmfValue {
    this.values += 1;
    if (depth > MAX_DEPTH || this.values > MAX_VALUES) throw new RtmpFault('one of its commands holds too much');
    const type = this.bytes.readUInt8(this.at++);
    switch (type) {
      case NUMBER:
        return this.number();
      case BOOLEAN:
        return this.bytes.readUInt8(this.at++) !== 0;
      case STRING:
        return this.text(2);
      case LONG_STRING:
        return this.text(4);
      case OBJECT:
        return this.fields(depth);
      case ECMA_ARRAY:
        this.at += 4; // a hint of its length
        return this.fields(depth);
      case STRICT_ARRAY: {
        const count = this.bytes.readUInt32BE(this.at);
        this.at += 4;
        const items: AmfValue[] = [];
        for (let i = 0; i < count; i += 1) items.push(this.value(depth + 1));
        return items;
      }
      case DATE: {
        const ms = this.number();
        this.at += 2;
        return ms;
      }
      case NULL:
      case UNDEFINED:
        return null;
      default:
        throw new RtmpFault('it does not speak RTMP');
    }
  }

  private number(): number {
    const value = this.bytes.readDoubleBE(this.at);
    this.at += 8;
    return value;
  }

  private text(lengthBytes: 2 | 4): string {
    const length = this.bytes.readUIntBE(this.at, lengthBytes);
    this.at += lengthBytes;
    if (length > this.left) throw new RangeError('AMF text ends too early');
    const text = this.bytes.toString('utf8', this.at, this.at + length);
    this.at += length;
    return text;
  }

  private fields(depth: number): { [name: string]: AmfValue } {
    const found: [string, AmfValue][] = [];
    for (;;) {
      const name = this.text(2);
      if (name === '' && this.bytes.readUInt8(this.at) === OBJECT_END) {
        this.at += 1;
        return Object.fromEntries(found);
      }
      found.push([name, this.value(depth + 1)]);
    }
  }
}
