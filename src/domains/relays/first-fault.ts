/** The first thing that goes wrong ends a relay, whichever step it is at. */
import { withDeadline } from '../../infra/flow/deadline';

/** Why something is over. */
export class Ended extends Error {}

export class FirstFault {
  private reject: (error: Error) => void = () => undefined;
  /** Rejects when something went wrong; never resolves. */
  readonly raised: Promise<never>;
  isRaised = false;

  constructor(signal: AbortSignal) {
    this.raised = new Promise<never>((_, reject) => (this.reject = reject));
    this.raised.catch(() => undefined);
    const stop = (): void => this.raise('it was stopped');
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  }

  raise(fault: string | Error): void {
    this.isRaised = true;
    this.reject(typeof fault === 'string' ? new Ended(fault) : fault);
  }

  /** The result; where something else goes wrong first, the result that still comes is given to `discard`. */
  async orResult<T>(work: Promise<T>, discard: (late: T) => void = () => undefined): Promise<T> {
    let isLate = false;
    work.then(
      (value) => isLate && discard(value),
      () => undefined,
    );
    try {
      return await Promise.race([work, this.raised]);
    } catch (error) {
      isLate = true;
      throw error;
    }
  }

  async orTime(ms: number): Promise<void> {
    await withDeadline(this.raised, ms, () => undefined);
  }
}
