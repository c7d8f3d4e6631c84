/** Reads what the directory says of a user, for logins and for calls. */
import { createHash } from 'node:crypto';
import type { Element } from '../../../src/freeswitch/xml/document';
import { child, pairs } from '../xml-client';

export const md5 = (text: string): string => createHash('md5').update(text).digest('hex');

export interface FoundUser {
  params: Record<string, string>;
  variables: Record<string, string>;
}

/** Reads a directory answer; undefined where the user is not in it. */
export function findUser(section: Element | undefined): FoundUser | undefined {
  const user =
    child(child(section, 'domain'), 'user') ??
    child(child(child(child(section, 'domain'), 'groups'), 'group'), 'users');
  if (!user) return undefined;
  return { params: pairs(child(user, 'params'), 'param'), variables: pairs(child(user, 'variables'), 'variable') };
}
