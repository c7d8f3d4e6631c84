/** What Switchyard and its relay process say to each other. What comes from the process is read with a schema: it meets strangers. */
import { z } from 'zod';
import type { AddressRules } from '../targets/address-rules';
import type { FlowLimits } from '../state-machine';
import type { Target } from '../targets/target';

/** The RTMP application that nodes publish to. */
export const INTAKE_APP = 'relay';

/** One stream from a node to a target. */
export interface ForwardRequest {
  target: Target;
  streamKey: string;
  /** A secret: whoever publishes under this name is the node. */
  streamName: string;
  rules: AddressRules;
  /** For each step: the name, the connection, the answer. */
  stepTimeoutMs: number;
  limits: FlowLimits;
}

export type ToProcess =
  /** First of all. @param listen where nodes publish to; null: this process only checks targets */
  | { kind: 'open'; listen: { host: string; port: number } | null }
  | { kind: 'check'; id: string; target: Target; rules: AddressRules; timeoutMs: number }
  | { kind: 'start'; id: string; request: ForwardRequest }
  | { kind: 'stop'; id: string };

const id = z.string().max(64);
const words = z.string().max(1000);
const count = z.number().int().min(0);
const refusal = z.object({ reason: words, detail: words });

export const fromProcess = z.discriminatedUnion('kind', [
  /** It listens, where it was asked to. */
  z.object({ kind: z.literal('ready'), port: count.max(65_535).nullable() }),
  /** Once a second: it is not stuck. With the connections its RTMP listener refused so far. */
  z.object({ kind: z.literal('pulse'), refused: count }),
  z.object({ kind: z.literal('checked'), id, refusal: refusal.nullable() }),
  /** The target has taken the stream, and the node is expected. */
  z.object({ kind: z.literal('published'), id }),
  /** The first sound or video has gone through. */
  z.object({ kind: z.literal('flowing'), id }),
  z.object({ kind: z.literal('flow'), id, bytesSent: count, takenAtMs: z.number() }),
  z.object({ kind: z.literal('ended'), id, side: z.enum(['node', 'target']), ...refusal.shape }),
]);
export type FromProcess = z.output<typeof fromProcess>;
