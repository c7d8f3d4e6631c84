/** The address of a machine as it comes in, by a body or a URL: in any spelling, and kept in one. */
import { z } from 'zod';
import { readAddress } from '../../address';

export const hostAddress = z
  .string()
  .max(64)
  .refine(
    (text) => !text.includes('%') && readAddress(text) !== undefined,
    'must be an IPv4 or IPv6 address without a zone',
  )
  .transform((text) => readAddress(text)!);
