/** How a room's image is divided, under the names FreeSWITCH's documentation gives: on a square of 360 by 360. */
import { element, type Element } from '../document';
import type { RoomConfiguration } from './conference';
import type { NodeSettings } from './settings';
import { ID_PATTERN } from '../../../infra/ids';

/** FreeSWITCH stretches a square of this side over the canvas. */
const SIDE = 360;

/** One image's place. `scale` is its width; its height is the same unless `hscale` says otherwise. */
export interface LayoutPlace {
  x: number;
  y: number;
  scale: number;
  hscale?: number;
  zoom?: true;
  /** Whoever has the floor is shown here. */
  floor?: true;
  'floor-only'?: true;
  overlap?: true;
  reservation_id?: string;
  /** In pixels. */
  border?: number;
}
type Place = LayoutPlace;

export interface CustomLayout {
  name: string;
  places: readonly Place[];
  /** Sounds come from where the image is. */
  placesSound: boolean;
}
type Layout = CustomLayout;

/** Equal images in rows. A row that is not full stands in the middle. */
function rows(name: string, counts: number[], scale: number): Layout {
  const top = (SIDE - counts.length * scale) / 2;
  const places = counts.flatMap((count, row) => line(count, (SIDE - count * scale) / 2, top + row * scale, scale));
  return { name, places, placesSound: true };
}

function grid(size: number): Layout {
  return rows(`${size}x${size}`, Array<number>(size).fill(size), SIDE / size);
}

/** Rows that fill the whole height, each image cut to fit. */
function zoomed(name: string, counts: number[]): Layout {
  const height = SIDE / counts.length;
  const places = counts.flatMap((count, row) =>
    line(count, 0, row * height, SIDE / count).map((place) =>
      place.scale === height ? place : { ...place, hscale: height, zoom: true as const },
    ),
  );
  return { name, places, placesSound: true };
}

/** `count` images side by side. */
function line(count: number, x: number, y: number, scale: number): Place[] {
  return Array.from({ length: count }, (_, i) => ({ x: x + i * scale, y, scale }));
}

/** A block of `columns` by `count` rows of images. */
function block(columns: number, count: number, x: number, y: number, scale: number): Place[] {
  return Array.from({ length: count }, (_, row) => line(columns, x, y + row * scale, scale)).flat();
}

/** One large at the top left; small ones down its right side, then along the bottom. */
function oneUp(small: number): Layout {
  const perSide = (small + 1) / 2;
  const scale = SIDE / perSide;
  const large = SIDE - scale;
  const right = Array.from({ length: perSide - 1 }, (_, i) => ({ x: large, y: i * scale, scale }));
  return {
    name: `1up_top_left+${small}`,
    places: [{ x: 0, y: 0, scale: large, floor: true }, ...right, ...line(perSide, 0, large, scale)],
    placesSound: true,
  };
}

/** Two large side by side at this height, eight small around them. */
function twoUp(where: 'top' | 'middle' | 'bottom', y: number, smallRows: [number, number]): Layout {
  return {
    name: `2up_${where}+8`,
    places: [
      { x: 0, y, scale: 180, floor: true },
      { x: 180, y, scale: 180, reservation_id: 'secondary' },
      ...smallRows.flatMap((rowY) => line(4, 0, rowY, 90)),
    ],
    placesSound: true,
  };
}

/** Three large, and the last quarter filled with small ones. */
function threeUp(perSide: number): Layout {
  return {
    name: `3up+${perSide * perSide}`,
    places: [
      { x: 0, y: 0, scale: 180, floor: true },
      { x: 180, y: 0, scale: 180, reservation_id: 'secondary' },
      { x: 0, y: 180, scale: 180, reservation_id: 'third' },
      ...block(perSide, perSide, 180, 180, 180 / perSide),
    ],
    placesSound: true,
  };
}

/** The speaker, and a place that is kept for who presents. */
function presenter(name: string, speaker: Place, presenting: Place): Layout {
  return {
    name: `presenter-${name}`,
    places: [
      { ...speaker, 'floor-only': true },
      { ...presenting, reservation_id: 'presenter' },
    ],
    placesSound: false,
  };
}

const whole: Place = { x: 0, y: 0, scale: SIDE };
const corner = (x: number, y: number, scale: number): Place => ({ x, y, scale, overlap: true });

/** Every layout a room can be given by name. */
export const LAYOUTS: readonly Layout[] = [
  { name: '1x1', places: [{ ...whole, floor: true }], placesSound: false },
  rows('1x2', [1, 1], 180),
  rows('2x1', [2], 180),
  zoomed('2x1-zoom', [2]),
  zoomed('3x1-zoom', [3]),
  zoomed('5-grid-zoom', [2, 3]),
  zoomed('3x2-zoom', [3, 3]),
  zoomed('7-grid-zoom', [3, 4]),
  zoomed('4x2-zoom', [4, 4]),
  rows('1x1+2x1', [1, 2], 180),
  ...[2, 3, 4, 5, 6, 8].map(grid),
  ...[5, 7, 9].map(oneUp),
  twoUp('top', 0, [180, 270]),
  twoUp('middle', 90, [0, 270]),
  twoUp('bottom', 180, [0, 90]),
  threeUp(2),
  threeUp(3),
  {
    name: '2x1-presenter-zoom',
    places: [
      { x: 0, y: 0, scale: 180, hscale: SIDE, zoom: true, floor: true },
      { x: 180, y: 0, scale: 180, hscale: SIDE, zoom: true, reservation_id: 'presenter' },
    ],
    placesSound: true,
  },
  presenter('dual-vertical', { x: 90, y: 0, scale: 180 }, { x: 90, y: 180, scale: 180 }),
  presenter('dual-horizontal', { x: 0, y: 90, scale: 180 }, { x: 180, y: 90, scale: 180 }),
  presenter('overlap-small-top-right', whole, corner(300, 0, 60)),
  presenter('overlap-small-bot-right', whole, corner(300, 300, 60)),
  presenter('overlap-large-top-right', whole, corner(180, 0, 180)),
  presenter('overlap-large-bot-right', whole, corner(180, 180, 180)),
  {
    name: 'overlaps',
    places: [{ ...whole, 'floor-only': true }, ...[300, 240, 180, 120, 60, 0].map((x) => corner(x, 300, 60))],
    placesSound: true,
  },
];

/** Layouts by growing size: with `group:NAME` FreeSWITCH takes the first that holds everybody. */
export const GROUPS: Readonly<Record<string, readonly string[]>> = {
  grid: ['1x1', '2x1', '1x1+2x1', '2x2', '3x3', '4x4', '5x5', '6x6', '8x8'],
  'grid-zoom': ['1x1', '2x1-zoom', '3x1-zoom', '2x2', '5-grid-zoom', '3x2-zoom', '7-grid-zoom', '4x2-zoom', '3x3'],
  '1up_top_left_plus': ['1up_top_left+5', '1up_top_left+7', '1up_top_left+9'],
  '3up_plus': ['3up+4', '3up+9'],
};

/**
 * The name a room's profile gives its layouts (`video-layout-conf`). A node asks for them each time a room with a mixed
 * image starts, and says of the room nothing but this name: in 1.10.12 `conference_name` is still empty then. What it
 * gets it keeps with that room alone, so the names of two domains never meet, and a layout made now is there in the next
 * session.
 */
export const layoutsConfName = (sessionId: string): string => `conference_layouts.${sessionId}`;

const LAYOUTS_OF_ROOM = new RegExp(`^conference_layouts\\.(${ID_PATTERN})$`);

/** @returns the session whose layouts are asked for by this name */
export const sessionOfLayouts = (confName: string): string | undefined => LAYOUTS_OF_ROOM.exec(confName)?.[1];

/** The name of a session's image in the node's folder for what is of no duration. */
export const imageFile = (sessionId: string, kind: 'background' | 'welcome'): string => `room-${sessionId}-${kind}.png`;

/**
 * With an image behind it a layout brings it along whenever it is taken; without, a change of layout would lose it.
 * The node puts its own folder in the place of the variable.
 */
const behind = (sessionId: string): { bgimg: string } => ({
  bgimg: `$\${temp_dir}/${imageFile(sessionId, 'background')}`,
});

/** Taken while somebody is alone or waits. No layout of a person's making begins like this. */
export const WELCOME_LAYOUT = '_welcome';
const WELCOME: Layout = { name: WELCOME_LAYOUT, places: [{ ...whole, floor: true }], placesSound: false };
const over = (sessionId: string): { fgimg: string } => ({
  fgimg: `$\${temp_dir}/${imageFile(sessionId, 'welcome')}`,
});

export function conferenceLayoutsConf(
  _node: NodeSettings,
  room?: Pick<RoomConfiguration, 'layouts' | 'images'>,
): Element[] {
  const images = room?.images;
  const extra = images?.hasBackground ? behind(images.sessionId) : {};
  const layouts = [...LAYOUTS, ...(room?.layouts ?? [])];
  return [
    element('layout-settings', {}, [
      element('layouts', {}, [
        ...layouts.map((layout) => layoutElement(layout, extra)),
        ...(images ? [layoutElement(WELCOME, over(images.sessionId))] : []),
      ]),
      element(
        'groups',
        {},
        Object.entries(GROUPS).map(([name, members]) =>
          element(
            'group',
            { name },
            members.map((text) => ({ name: 'layout', text })),
          ),
        ),
      ),
    ]),
  ];
}

function layoutElement(layout: Layout, extra: Record<string, string>): Element {
  return element(
    'layout',
    { name: layout.name, ...extra, ...(layout.placesSound ? { 'auto-3d-position': true } : {}) },
    layout.places.map((place) => element('image', { ...place })),
  );
}
