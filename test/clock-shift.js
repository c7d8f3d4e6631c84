/** Loaded before all else, it gives a process the clock of a machine that is wrong: CLOCK_SHIFT_MS ahead (behind: negative). */
const shiftMs = Number(process.env.CLOCK_SHIFT_MS ?? 0);
const RightDate = Date;
class WrongDate extends RightDate {
  constructor(...args) {
    if (args.length === 0) super(RightDate.now() + shiftMs);
    else super(...args);
  }
  static now() {
    return RightDate.now() + shiftMs;
  }
}
globalThis.Date = WrongDate;
Object.defineProperty(performance, 'timeOrigin', { value: performance.timeOrigin + shiftMs });
