/** Says whose image is where in what a room mixes: everybody has a colour of their own. */
import type { Colour, Pixels } from './png';

/** A place of a layout: x, y and width on a square that is stretched over the canvas. */
export type Place = readonly [x: number, y: number, scale: number];
export type Tile = 'green' | 'blue' | 'nobody';
const SIDE = 360;

/** The places of three of FreeSWITCH's own layouts; 1x2 with two beside them where nothing may be. */
export const PLACES: Record<'2x2' | '1x2' | '1up_top_left+5', readonly Place[]> = {
  '2x2': [
    [0, 0, 180],
    [180, 0, 180],
    [0, 180, 180],
    [180, 180, 180],
  ],
  '1x2': [
    [90, 0, 180],
    [90, 180, 180],
    [0, 0, 90],
    [270, 270, 90],
  ],
  '1up_top_left+5': [
    [0, 0, 240],
    [240, 0, 120],
    [240, 120, 120],
    [0, 240, 120],
    [120, 240, 120],
    [240, 240, 120],
  ],
};

/** Chromium's fake camera is green; undefined for what is nobody's and not the room's dark background. */
function readColour({ red, green, blue }: Colour): Tile | undefined {
  if (green > 60 && green > 2 * blue && green > 2 * red) return 'green';
  if (blue > 120 && blue > 2 * green && blue > 2 * red) return 'blue';
  return Math.max(red, green, blue) < 90 ? 'nobody' : undefined;
}

/** What is in the middle of the upper half of a place. */
export function tileAt(pixels: Pixels, [x, y, scale]: Place): Tile | undefined {
  const across = (of: number): number => Math.round((of * pixels.width) / SIDE);
  const down = (of: number): number => Math.round((of * pixels.height) / SIDE);
  const [left, top] = [across(x + scale * 0.4), down(y + scale * 0.15)];
  return readColour(pixels.meanOf(left, top, across(scale * 0.2), down(scale * 0.15)));
}

/** Two people, and nobody anywhere else. */
export function areBothThere(tiles: readonly (Tile | undefined)[]): boolean {
  const count = (tile: Tile): number => tiles.filter((t) => t === tile).length;
  return count('green') === 1 && count('blue') === 1 && count('nobody') === tiles.length - 2;
}
