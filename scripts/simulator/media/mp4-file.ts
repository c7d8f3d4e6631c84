/** The frame of an mp4 as mod_av leaves it: a head that promises, and an index that is written at the end, or never. */

function box(name: string, ...inside: Buffer[]): Buffer {
  const head = Buffer.alloc(8);
  const body = Buffer.concat(inside);
  head.writeUInt32BE(8 + body.length, 0);
  head.write(name, 4, 'latin1');
  return Buffer.concat([head, body]);
}

/** 48 bytes: what kind of file it is, and a box of media whose length is filled in at the end. */
export function mp4Head(mediaBytes = 0): Buffer {
  const kind = Buffer.alloc(24);
  kind.write('isom', 0, 'latin1');
  const media = box('mdat');
  media.writeUInt32BE(8 + mediaBytes, 0);
  return Buffer.concat([box('ftyp', kind), box('free'), media]);
}

/** Tells of one track with so many frames. */
export function mp4Index(durationMs: number, frames: number): Buffer {
  const movie = Buffer.alloc(100);
  movie.writeUInt32BE(1000, 12);
  movie.writeUInt32BE(Math.floor(durationMs), 16);
  const samples = Buffer.alloc(12);
  samples.writeUInt32BE(frames, 8);
  const track = box('trak', box('mdia', box('minf', box('stbl', box('stsz', samples)))));
  return box('moov', box('mvhd', movie), track);
}
