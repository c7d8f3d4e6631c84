/** Says what JSON may hold that nobody means and that breaks what reads it next: a NUL, half a character, a nest without end. */

export interface JsonFault {
  /** Where it stands, from the outside in. */
  path: (string | number)[];
  what: 'nul' | 'half_character' | 'too_deep';
}

/** Deeper than anything that we take, and far from where a reader that calls itself breaks off. */
export const MAX_JSON_DEPTH = 32;

const HALF = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

/** What is wrong with one text; undefined where nothing is. */
function faultOfText(text: string): 'nul' | 'half_character' | undefined {
  if (text.includes('\u0000')) return 'nul';
  return HALF.test(text) ? 'half_character' : undefined;
}

/**
 * Looks through a parsed value, keys too. It calls itself no deeper than MAX_JSON_DEPTH, and what is nested deeper is the
 * only fault that is told then: nothing else may look at such a value.
 * @param most how many faults are enough
 */
export function findJsonFaults(value: unknown, most = 20): JsonFault[] {
  const faults: JsonFault[] = [];
  const path: (string | number)[] = [];
  let tooDeep: JsonFault | undefined;

  function check(one: unknown): void {
    if (tooDeep) return;
    if (typeof one === 'string') return note(faultOfText(one));
    if (typeof one !== 'object' || one === null) return;
    if (path.length >= MAX_JSON_DEPTH) {
      tooDeep = { path: [...path], what: 'too_deep' };
      return;
    }
    if (Array.isArray(one)) one.forEach((inner, i) => enter(i, inner));
    else for (const [key, inner] of Object.entries(one)) enter(key, inner);
  }
  function enter(key: string | number, inner: unknown): void {
    path.push(key);
    if (typeof key === 'string') note(faultOfText(key));
    check(inner);
    path.pop();
  }
  function note(what: JsonFault['what'] | undefined): void {
    if (what !== undefined && faults.length < most) faults.push({ path: [...path], what });
  }

  check(value);
  return tooDeep ? [tooDeep] : faults;
}
