/** What is fuzzed: inputs by a grammar, and an oracle that knows what must hold for each of them. */
import * as fc from 'fast-check';

/** One run of a target's inputs. */
export interface RunOptions {
  /** Says all inputs of the run: the same seed gives the same ones. */
  seed: number;
  runs: number;
  /** Of a failure that was found before: only this input is tried. */
  path?: string;
  /** The run ends by then, also in the middle of shrinking. */
  deadlineMs?: number;
  /** A finding is told as it was found, at once. */
  asFound?: boolean;
  /** Told before each input is tried, by its number in the run: of one that never ends it is all that is known. */
  onInput?: (index: number) => void;
}

/** An input that broke the oracle, made as small as it could be. */
export interface Finding {
  target: string;
  seed: number;
  path: string;
  input: string;
  fault: string;
}

export interface RunResult {
  runs: number;
  /** What became of the inputs, as the oracle names it: a grammar of which nothing is ever taken finds nothing. */
  classes: ReadonlyMap<string, number>;
  finding?: Finding;
}

export interface Target {
  readonly name: string;
  /** What must hold, in one sentence. */
  readonly holds: string;
  /** How many inputs are tried in one go. */
  readonly perBatch: number;
  run(o: RunOptions): Promise<RunResult>;
}

/** @returns what became of the input. @throws where something does not hold */
type Oracle<T> = (input: T) => string;

interface Definition<T> {
  name: string;
  holds: string;
  inputs: fc.Arbitrary<T>;
  perBatch?: number;
}

const PER_BATCH = 1000;

/** A target whose oracle is a plain function. */
export function defineTarget<T>(d: Definition<T> & { check: Oracle<T> }): Target {
  return targetOf(d, (count, next) =>
    fc.property(d.inputs, (input) => {
      next();
      count(d.check(input));
    }),
  );
}

/** A target whose oracle waits: for a file, a socket or a store. */
export function defineAsyncTarget<T>(d: Definition<T> & { check: (input: T) => Promise<string> }): Target {
  return targetOf(d, (count, next) =>
    fc.asyncProperty(d.inputs, async (input) => {
      next();
      count(await d.check(input));
    }),
  );
}

type Count = (name: string) => void;
type Property<T> = fc.IRawProperty<[T]>;

function targetOf<T>(d: Definition<T>, propertyOf: (count: Count, next: () => void) => Property<T>): Target {
  return {
    name: d.name,
    holds: d.holds,
    perBatch: d.perBatch ?? PER_BATCH,
    async run(o) {
      const classes = new Map<string, number>();
      let index = 0;
      const details = await fc.check(
        propertyOf(
          (name) => void classes.set(name, (classes.get(name) ?? 0) + 1),
          () => o.onInput?.(index++),
        ),
        {
          seed: o.seed,
          numRuns: o.runs,
          path: o.path,
          endOnFailure: o.asFound ?? false,
          ...(o.deadlineMs === undefined ? {} : { interruptAfterTimeLimit: o.deadlineMs }),
        },
      );
      const result = { runs: details.numRuns, classes };
      if (!details.failed) return result;
      const [input] = details.counterexample ?? [];
      return {
        ...result,
        finding: {
          target: d.name,
          seed: details.seed,
          path: details.counterexamplePath ?? '',
          input: showInput(input),
          fault: faultOf(details.errorInstance),
        },
      };
    },
  };
}

const faultOf = (error: unknown): string =>
  error instanceof Error ? `${error.name}: ${error.message}` : String(error);

/** As it can be pasted into a test: bytes as hex. */
function showInput(input: unknown): string {
  const text = JSON.stringify(
    input,
    (_key, value: unknown) => {
      const bytes = value as { type?: unknown; data?: unknown } | null;
      if (value instanceof Uint8Array) return `hex:${Buffer.from(value).toString('hex')}`;
      if (bytes?.type === 'Buffer' && Array.isArray(bytes.data)) {
        return `hex:${Buffer.from(bytes.data as number[]).toString('hex')}`;
      }
      if (typeof value === 'bigint') return `${value}n`;
      if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
      return value;
    },
    2,
  );
  return text ?? fc.stringify(input);
}

/** A thing that does not hold. */
export class OracleFault extends Error {
  override readonly name = 'OracleFault';
}

/** @throws OracleFault with what does not hold */
export function must(holds: boolean, what: string | (() => string)): asserts holds {
  if (!holds) throw new OracleFault(typeof what === 'string' ? what : what());
}

/** @throws OracleFault where the two differ as JSON */
export function mustEqual(actual: unknown, expected: unknown, what: string): void {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new OracleFault(`${what}\n  is        ${cut(a)}\n  should be ${cut(b)}`);
}

const cut = (text: string | undefined): string =>
  text === undefined ? 'undefined' : text.length > 2000 ? `${text.slice(0, 2000)}… (${text.length})` : text;
