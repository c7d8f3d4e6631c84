/** A REST route as a value: what it takes and gives stands in one schema, which validates and documents it. */
import type { Request, Response } from 'express';
import type { z } from 'zod';
import type { ErrorCode } from '../errors';

/** Who asks. `domainId` is null for a key that may see every domain. */
export interface Caller {
  apiKeyId: string;
  scopes: readonly Scope[];
  domainId: string | null;
  /** Where a grant's token was shown: what it is for. `apiKeyId` is the grant's id then. */
  grant?: CallerGrant;
}

/** A grant's token reads the events of one room or one user, from when it was made. */
export interface CallerGrant {
  id: string;
  roomId: string | null;
  userId: string | null;
  /** The number of the last event of the domain's log before the grant was made. */
  afterNumber: number;
}

/**
 * `admin` may do everything; `domain` everything within one domain; `grant` is the token of one grant. A route that
 * needs less lets those in who may do more.
 */
export type Scope = 'admin' | 'domain' | 'grant';

const LEVELS: Record<Scope, number> = { grant: 0, domain: 1, admin: 2 };

/** True where one of the scopes is as good as `need`, or better. */
export function isScopeEnough(scopes: readonly Scope[], need: Scope): boolean {
  return scopes.some((scope) => LEVELS[scope] >= LEVELS[need]);
}

/** A body that is a file. */
export interface RouteFile {
  /** Its content type, one of those the route takes, in lower case and without parameters. */
  type: string;
  bytes: Buffer;
}

export interface RouteContext<P, Q, B> {
  params: P;
  query: Q;
  body: B;
  /** The body as it came, where the route takes a file. */
  file?: RouteFile;
  caller: Caller;
  /** The key or token that was shown; streams ask again and again whether it is still good. */
  bearer: string;
  requestId: string;
  request: Request;
  response: Response;
}

export interface RouteAnswer {
  /** The route's first documented status where it is left out. */
  status?: number;
  body?: unknown;
  headers?: Record<string, string>;
}

export interface Route {
  method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** OpenAPI form: /v1/calls/{id} */
  path: string;
  tag: string;
  summary: string;
  description?: string;
  /** The least that is needed: `domain` lets admin keys in as well, `grant` all keys and the tokens of grants. */
  scope: Scope;
  params?: z.ZodObject;
  query?: z.ZodObject;
  body?: z.ZodObject;
  /** Instead of a JSON body: a file of one of these types, which `handle` gets as `file`. It is held in memory. */
  file?: { types: readonly string[]; maxBytes: number };
  /** status → schema of the answer's body; null for no body. */
  answers: Record<number, z.ZodType | null>;
  /** Codes beyond those that every route of its kind can answer; they only document. */
  errors?: readonly ErrorCode[];
  /** The content type of the answer, where it is not application/json. */
  produces?: string;
  /** Returns undefined where it has written the response by itself (streams). */
  handle: (context: RouteContext<never, never, never>) => Promise<RouteAnswer | undefined>;
}

type Shape<T> = T extends z.ZodType ? z.output<T> : Record<string, never>;

/** Gives `handle` the types of the schemas that stand beside it. */
export function defineRoute<
  P extends z.ZodObject | undefined = undefined,
  Q extends z.ZodObject | undefined = undefined,
  B extends z.ZodObject | undefined = undefined,
>(
  route: Omit<Route, 'params' | 'query' | 'body' | 'handle'> & {
    params?: P;
    query?: Q;
    body?: B;
    handle: (context: RouteContext<Shape<P>, Shape<Q>, Shape<B>>) => Promise<RouteAnswer | undefined>;
  },
): Route {
  return route as unknown as Route;
}
