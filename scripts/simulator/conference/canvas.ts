/** The mixed video of a room: its size and layouts, and a small real PNG of it. */
import { deflateSync, crc32 } from 'node:zlib';
import type { Element } from '../../../src/freeswitch/xml/document';
import type { Canvas } from './room';
import { child, childrenOf } from '../xml-client';

const DEFAULT_SIZE: [number, number] = [1280, 720];

export function canvasOf(profile: Readonly<Record<string, string>>, layouts: Element | undefined): Canvas {
  const settings = child(child(layouts, 'configuration'), 'layout-settings');
  const all = (list: string, one: string): Element[] => childrenOf(child(settings, list), one);
  const nameOf = (e: Element): string => String(e.attributes?.name ?? '');
  const [width, height] = parseSize(profile['video-canvas-size'] ?? '') ?? DEFAULT_SIZE;
  const wanted = profile['video-layout-name'] ?? '1x1';
  const group = wanted.startsWith('group:') ? wanted.slice(6) : undefined;
  return {
    width,
    height,
    layout: group === undefined ? wanted : '',
    group,
    fps: Number(profile['video-fps']) || 30,
    layouts: new Map(all('layouts', 'layout').map((e) => [nameOf(e), childrenOf(e, 'image').length])),
    groups: new Set(all('groups', 'group').map(nameOf)),
  };
}

export function parseSize(text: string): [number, number] | undefined {
  const found = /^(\d+)x(\d+)$/.exec(text);
  return found ? [Number(found[1]), Number(found[2])] : undefined;
}

/** FreeSWITCH counts in whole milliseconds a frame: 15 is told as 15.15. @returns undefined where it refuses */
export function fpsAsKept(fps: number): number | undefined {
  if (!(fps > 0) || fps > 60) return undefined;
  return 1000 / Math.trunc(1000 / fps);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(data.length);
  const tail = Buffer.alloc(4);
  tail.writeUInt32BE(crc32(body));
  return Buffer.concat([head, body, tail]);
}

/** One tile for each member with video, side by side; the shade tells which layout it is. */
export function drawImage(canvas: Canvas, tiles: number): Buffer {
  const { width, height } = canvas;
  const shade =
    [...(canvas.layout || canvas.group || '')].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) % 200, 7) + 40;
  const row = Buffer.alloc(1 + width * 3, 0x20);
  row[0] = 0;
  const each = Math.max(1, Math.floor(width / Math.max(1, tiles)));
  for (let x = 0; x < width && tiles > 0; x += 1)
    row.fill((shade + Math.floor(x / each) * 37) % 256, 1 + x * 3, 4 + x * 3);
  const pixels = Buffer.concat(Array<Buffer>(height).fill(row));
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(pixels)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}
