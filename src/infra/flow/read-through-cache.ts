/** Looks names up thousands of times a second, in batches, and goes on answering for known ones while Postgres is away. */
import { LRUCache } from 'lru-cache';
import type { Pool } from 'pg';
import { SwitchyardError } from '../../errors';
import { isUnreachable } from '../stores/db';

export interface ReadThroughCache<T> {
  /**
   * @returns what has the name in the domain, or undefined where nothing has.
   * @throws unavailable where it can't be known: "not found" would turn somebody away for a database's fault.
   */
  find(name: string, domain: string): Promise<T | undefined>;
  /** @returns what was looked up just now, null where there was none; undefined where find must ask. */
  readFresh(name: string, domain: string): T | null | undefined;
  /** Asks again at the next question; what was known is kept only for the time in which Postgres is away. */
  forget(name: string, domain: string): void;
  /** Forgets every one of which `isGone` is true, also for the time in which Postgres is away. */
  drop(isGone: (value: T) => boolean): void;
}

export interface ReadThroughCacheOptions<T> {
  pool: Pool;
  now: () => number;
  /**
   * A statement over `unnest($1::text[], $2::text[]) with ordinality as asked(domain, name, n)`; its first column is
   * the place in the question, from 1.
   */
  statement: { name: string; text: string };
  /** @param before what was known under the same name: what has not changed need not be opened again */
  readRow: (row: unknown[], before: T | undefined) => T;
  /** True for what may not be answered any more, fresh or not; left out: nothing ends by itself. */
  isOver?: (value: T, nowMs: number) => boolean;
  /** What is told where Postgres is away and nothing is known. */
  away: string;
}

/** What is this old is answered without asking again: it bounds how long somebody revoked may still come in. */
const FRESH_MS = 1000;
/** Remembered for the time in which Postgres is away. */
const REMEMBERED = 100_000;
/** Names that are nobody's; apart from the others, since whoever guesses names must not make us forget anybody. */
const ABSENT_REMEMBERED = 10_000;
/** Questions asked of Postgres in one query, and queries under way at once: 16 names cost little more than one. */
const BATCH_LIMIT = 100;
const QUERIES_AT_ONCE = 2;
/** A name with control characters is nobody's, and one NUL would make Postgres refuse its neighbours' questions too. */
const NOBODYS = /[\u0000-\u001f\u007f]/;
const MAX_NAME = 512;

interface Entry<T> {
  value: T;
  atMs: number;
}

interface Question<T> {
  key: string;
  name: string;
  domain: string;
  answer: Promise<T | undefined>;
  resolve: (value: T | undefined) => void;
  reject: (error: unknown) => void;
}

export function createReadThroughCache<T>(o: ReadThroughCacheOptions<T>): ReadThroughCache<T> {
  const { pool, now, isOver } = o;
  const statement = { ...o.statement, rowMode: 'array' as const };
  const known = new LRUCache<string, Entry<T>>({ max: REMEMBERED });
  const absent = new LRUCache<string, number>({ max: ABSENT_REMEMBERED });
  const pending = new Map<string, Question<T>>();
  const waiting: Question<T>[] = [];
  let queries = 0;
  let scheduled = false;

  const keyOf = (name: string, domain: string): string => `${name}\n${domain}`;

  function remember(question: Question<T>, value: T | undefined, atMs: number): void {
    // What was changed while the question was under way was forgotten: this answer may be the old one.
    if (pending.get(question.key) !== question) return;
    pending.delete(question.key);
    known.delete(question.key);
    absent.delete(question.key);
    if (value !== undefined) known.set(question.key, { value, atMs });
    else absent.set(question.key, atMs);
  }

  function fail(questions: Question<T>[], error: unknown): void {
    for (const question of questions) {
      if (pending.get(question.key) === question) pending.delete(question.key);
      question.reject(error);
    }
  }

  async function ask(questions: Question<T>[]): Promise<void> {
    const atMs = now();
    try {
      const values = [questions.map((q) => q.domain), questions.map((q) => q.name)];
      const { rows } = await pool.query<[number, ...unknown[]]>({ ...statement, values });
      const found = new Array<T | undefined>(questions.length);
      for (const row of rows) {
        const at = row[0] - 1;
        found[at] = o.readRow(row, known.get(questions[at]!.key)?.value);
      }
      questions.forEach((question, i) => {
        remember(question, found[i], atMs);
        question.resolve(found[i]);
      });
    } catch (error) {
      fail(questions, error);
      if (isUnreachable(error)) fail(waiting.splice(0), error); // they would only wait as long for the same
    }
  }

  function askNext(): void {
    scheduled = false;
    while (waiting.length > 0 && queries < QUERIES_AT_ONCE) {
      queries += 1;
      void ask(waiting.splice(0, BATCH_LIMIT)).finally(() => {
        queries -= 1;
        askNext();
      });
    }
  }

  function lookUp(key: string, name: string, domain: string): Promise<T | undefined> {
    const underWay = pending.get(key);
    if (underWay) return underWay.answer;
    const question = { key, name, domain } as Question<T>;
    question.answer = new Promise((resolve, reject) => Object.assign(question, { resolve, reject }));
    pending.set(key, question);
    waiting.push(question);
    if (!scheduled && queries < QUERIES_AT_ONCE) {
      scheduled = true;
      setImmediate(askNext); // whoever else asks in this turn comes along
    }
    return question.answer;
  }

  function readFresh(name: string, domain: string): T | null | undefined {
    const key = keyOf(name, domain.toLowerCase());
    const entry = known.get(key);
    if (entry) {
      const nowMs = now();
      if (nowMs - entry.atMs >= FRESH_MS) return undefined;
      return isOver?.(entry.value, nowMs) ? null : entry.value;
    }
    const absentMs = absent.get(key);
    return absentMs !== undefined && now() - absentMs < FRESH_MS ? null : undefined;
  }

  return {
    readFresh,
    async find(name, domain) {
      const fresh = readFresh(name, domain);
      if (fresh !== undefined) return fresh ?? undefined;
      if (name.length > MAX_NAME || domain.length > MAX_NAME) return undefined;
      if (NOBODYS.test(name) || NOBODYS.test(domain)) return undefined;
      const lower = domain.toLowerCase();
      const key = keyOf(name, lower);
      try {
        return await lookUp(key, name, lower);
      } catch (error) {
        if (!isUnreachable(error)) throw error;
        const entry = known.get(key);
        if (entry) return isOver?.(entry.value, now()) ? undefined : entry.value;
        throw new SwitchyardError('unavailable', o.away, { cause: error });
      }
    },
    forget(name, domain) {
      const key = keyOf(name, domain.toLowerCase());
      const entry = known.get(key);
      if (entry) entry.atMs = -Infinity;
      absent.delete(key);
      pending.delete(key);
    },
    drop(isGone) {
      for (const [key, entry] of [...known]) if (isGone(entry.value)) known.delete(key);
      pending.clear(); // an answer under way may have been read before it was gone: it is told, and not kept
    },
  };
}
