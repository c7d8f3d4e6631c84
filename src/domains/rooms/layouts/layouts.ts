/** Layouts: how a room's video is divided. Every room has FreeSWITCH's own; a domain adds some of its own making. */
import { z } from 'zod';
import { nameTaken, SwitchyardError } from '../../../errors';
import { violatedUnique, type Db, type Queryable, type Trx } from '../../../infra/stores/db';
import { createId } from '../../../infra/ids';
import type { Caller } from '../../../infra/route';
import { GROUPS, LAYOUTS, type CustomLayout, type LayoutPlace } from '../../../freeswitch/xml';
import { mayUseDomain, requireDomain } from '../../domains/domains';
import type { EventLog } from '../../events/events';
import type { Quotas } from '../../quotas/quotas';
import * as store from './layouts.store';
import { LAYOUT_NAME } from '../settings';

/** A layout is drawn on a square of this side, which is stretched over the canvas. */
const SIDE = 360;
/** FreeSWITCH has 64 places in a layout and writes past the end of them (MCU_MAX_LAYERS). */
const MAX_IMAGES = 64;
/** Every one is sent with each room that starts. */
/** Told to nodes at most; the quota of a domain is less. */
const MOST_LAYOUTS_TOLD = 1000;

const at = z
  .int()
  .min(0)
  .max(SIDE - 1);
const side = z.int().min(10).max(SIDE);

const image = z
  .strictObject({
    x: at,
    y: at,
    scale: side.describe(`Its width, of ${SIDE}; also its height, if hscale is omitted.`),
    hscale: side.optional(),
    zoom: z.boolean().optional().describe('Crops the video to fit instead of adding bars.'),
    floor: z.boolean().optional().describe('Shows whoever has the floor.'),
    floorOnly: z.boolean().optional().describe('Shows nobody but the holder of the floor.'),
    overlap: z.boolean().optional().describe('May overlap another tile.'),
    reservationId: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/, 'must be 1 to 32 of A-Z a-z 0-9 _ -')
      .optional()
      .describe('Reserved for a participant with this reservation.'),
    border: z.int().min(0).max(50).optional().describe('In pixels.'),
  })
  .refine((i) => i.x + i.scale <= SIDE && i.y + (i.hscale ?? i.scale) <= SIDE, `must lie within ${SIDE} by ${SIDE}`);

export const images = z
  .array(image)
  .min(1)
  .max(MAX_IMAGES)
  .refine((all) => all.filter((i) => i.floor || i.floorOnly).length <= 1, 'only one layer can be for the floor');

export const layoutName = z
  .string()
  .regex(LAYOUT_NAME, 'must be 1 to 64 of A-Z a-z 0-9 . _ + -, and not begin with "group"')
  .describe('The name that rooms use; must differ from the stock layouts.');

interface Definition {
  images: z.output<typeof images>;
}

export const layoutSchema = z
  .object({
    id: z.uuid(),
    domain: z.string(),
    name: z.string(),
    images: z.array(z.object(image.shape)),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Layout' });
export type LayoutView = z.output<typeof layoutSchema>;

export const stockLayoutSchema = z.object({ name: z.string(), images: z.int() }).meta({ id: 'StockLayout' });
export const layoutGroupSchema = z
  .object({ name: z.string(), layouts: z.array(z.string()).describe('In order of size.') })
  .meta({ id: 'LayoutGroup' });

export const STOCK_LAYOUTS = LAYOUTS.map(({ name, places }) => ({ name, images: places.length }));
export const LAYOUT_GROUPS = Object.entries(GROUPS).map(([name, layouts]) => ({
  name: `group:${name}`,
  layouts: [...layouts],
}));
const STOCK_NAMES = new Set([...STOCK_LAYOUTS, ...LAYOUT_GROUPS].map(({ name }) => name));

export interface LayoutsDeps {
  db: Db;
  events: EventLog;
  quotas: Pick<Quotas, 'take'>;
}

export function presentLayout(row: store.LayoutRow): LayoutView {
  return {
    id: row.id,
    domain: row.domain_name,
    name: row.name,
    images: (row.definition as unknown as Definition).images,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  };
}

/** The domain's layouts as a node is told of them. */
export async function listCustomLayouts(db: Queryable, domainId: string): Promise<CustomLayout[]> {
  const rows = await store.listLayoutRows(db, { domainId, limit: MOST_LAYOUTS_TOLD });
  return rows.map(({ name, definition }) => ({
    name,
    places: (definition as unknown as Definition).images.map(placeOf),
    placesSound: false,
  }));
}

function placeOf(from: z.output<typeof image>): LayoutPlace {
  const { x, y, scale, hscale, border, reservationId } = from;
  return {
    x,
    y,
    scale,
    ...(hscale === undefined ? {} : { hscale }),
    ...(border === undefined ? {} : { border }),
    ...(from.zoom && { zoom: true }),
    ...(from.floor && { floor: true }),
    ...(from.floorOnly && { 'floor-only': true }),
    ...(from.overlap && { overlap: true }),
    ...(reservationId === undefined ? {} : { reservation_id: reservationId }),
  };
}

/**
 * Asks whether a room of the domain can be given the layout; in a transaction a custom one stays until its end.
 * @throws SwitchyardError unprocessable naming what there is
 */
export async function requireLayout(db: Queryable, domainId: string, name: string): Promise<void> {
  if (STOCK_NAMES.has(name)) return;
  if (!name.startsWith('group:') && (await store.holdLayoutNamed(db, domainId, name))) return;
  const own = await store.listLayoutNames(db, domainId);
  const known = [...LAYOUT_GROUPS, ...STOCK_LAYOUTS].map((l) => l.name).concat(own);
  throw new SwitchyardError('unprocessable', `No such layout: "${name}". Known: ${known.join(', ')}.`, {
    errors: [{ path: 'layout', message: 'is not a known layout' }],
  });
}

/** @throws SwitchyardError not_found, also where the layout is of a domain the caller can't see */
export async function requireLayoutRow(db: Queryable, caller: Caller, id: string): Promise<store.LayoutRow> {
  const row = await store.findLayout(db, id);
  if (!row || !mayUseDomain(caller, row.domain_id)) {
    throw new SwitchyardError('not_found', 'No such layout.');
  }
  return row;
}

export async function createLayout(
  deps: LayoutsDeps,
  caller: Caller,
  input: { domain?: string; name: string } & Definition,
): Promise<LayoutView> {
  if (STOCK_NAMES.has(input.name)) {
    throw new SwitchyardError('conflict', `"${input.name}" is a stock layout: use another name.`);
  }
  try {
    return await deps.events.record(async (trx, emit) => {
      const domain = await requireDomain(trx, caller, input.domain);
      await deps.quotas.take(trx, domain.id, { layouts: 1 });
      const id = createId();
      const definition = { images: input.images };
      await store.insertLayout(trx, { id, domain_id: domain.id, name: input.name, definition });
      return await showAndTell(trx, emit, id, 'layout.created');
    });
  } catch (error) {
    if (violatedUnique(error)) throw nameTaken('layout', input.name);
    throw error;
  }
}

type Emit = Parameters<Parameters<EventLog['record']>[0]>[1];

async function showAndTell(trx: Trx, emit: Emit, id: string, type: string): Promise<LayoutView> {
  const row = await store.findLayout(trx, id);
  if (!row) throw new SwitchyardError('not_found', 'No such layout.');
  const layout = presentLayout(row);
  emit({ stream: row.domain_id, type, data: { layout } });
  return layout;
}

/** A running session keeps the layout as it was when it started; its next one has the new form. */
export async function changeLayout(deps: LayoutsDeps, row: store.LayoutRow, input: Definition): Promise<LayoutView> {
  return deps.events.record(async (trx, emit) => {
    await store.updateLayout(trx, row.id, { images: input.images });
    return showAndTell(trx, emit, row.id, 'layout.updated');
  });
}

/** @throws SwitchyardError conflict where rooms use it */
export async function removeLayout(deps: LayoutsDeps, row: store.LayoutRow): Promise<void> {
  await deps.events.record(async (trx, emit) => {
    if (!(await store.lockLayout(trx, row.id))) throw new SwitchyardError('not_found', 'No such layout.');
    const rooms = await store.listUsesOfLayout(trx, row.domain_id, row.name);
    if (rooms.length > 0) {
      throw new SwitchyardError(
        'conflict',
        `Rooms use this layout: ${rooms.join(', ')}. Give these rooms another layout first.`,
      );
    }
    await store.deleteLayout(trx, row.id);
    emit({ stream: row.domain_id, type: 'layout.deleted', data: { layout: presentLayout(row) } });
  });
}
