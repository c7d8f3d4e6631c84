/** A moment that may be missing, as the API shows it: ISO 8601 in UTC, or null. */
import { z } from 'zod';

export const instant = z.iso.datetime().nullable();

export const presentInstant = (date: Date | null): string | null => date?.toISOString() ?? null;
