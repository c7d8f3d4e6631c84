/** The one place that knows the XML library: answers are built and read here, in the form FreeSWITCH's parser takes. */
import { convert, create } from 'xmlbuilder2';
import { hidePreprocessor } from './escape';

/** One element: its attributes, and what stands in it. */
export interface Element {
  name: string;
  attributes?: Record<string, string | number | boolean>;
  children?: Element[];
  /** Instead of children. */
  text?: string;
}

export function element(
  name: string,
  attributes: Record<string, string | number | boolean> = {},
  children: Element[] = [],
): Element {
  return { name, attributes, children };
}

/** `<param name value/>`, of which FreeSWITCH's configuration is made. */
export function param(name: string, value: string | number | boolean): Element {
  return element('param', { name, value });
}

/** `<settings>` (or another name) full of params, in the order given. */
export function params(settings: Record<string, string | number | boolean>, name = 'settings'): Element {
  return element(
    name,
    {},
    Object.entries(settings).map(([key, value]) => param(key, value)),
  );
}

/**
 * A whole answer around one section. There is no prolog: FreeSWITCH drops the line it stands on.
 * @throws where a value holds a character XML can't carry
 */
export function documentXml(section: string, children: Element[]): string {
  const root = create();
  append(root, {
    name: 'document',
    attributes: { type: 'freeswitch/xml' },
    children: [{ name: 'section', attributes: { name: section }, children }],
  });
  return hidePreprocessor(root.end({ headless: true, wellFormed: true }));
}

type Node = ReturnType<typeof create>;

function append(parent: Node, item: Element): void {
  const attributes = Object.fromEntries(Object.entries(item.attributes ?? {}).map(([k, v]) => [k, String(v)]));
  const node = parent.ele(item.name, attributes);
  for (const child of item.children ?? []) append(node as unknown as Node, child);
  if (item.text !== undefined) node.txt(item.text);
}

/** Reads a document back: for tests and for the simulator, which asks as a node does. */
export function parseDocument(xml: string): Element {
  const parsed = convert({ encoding: 'UTF-8' }, xml, { format: 'object', verbose: true, group: false }) as Record<
    string,
    unknown
  >;
  const entry = Object.entries(parsed).find(([key]) => isName(key));
  if (!entry) throw new Error('The document is empty.');
  return read(entry[0], (entry[1] as unknown[])[0]);
}

const isName = (key: string): boolean => !/^[@#!?$]/.test(key);

function read(name: string, value: unknown): Element {
  if (value === null || typeof value !== 'object')
    return { name, attributes: {}, children: [], text: String(value ?? '') };
  const result: Required<Pick<Element, 'name' | 'children'>> & Element = { name, attributes: {}, children: [] };
  const attributes: Record<string, string> = {};
  for (const [key, held] of Object.entries(value as Record<string, unknown>)) {
    if (key.startsWith('@')) attributes[key.slice(1)] = String(held);
    else if (key === '#') result.text = String(held);
    else if (isName(key)) for (const one of Array.isArray(held) ? held : [held]) result.children.push(read(key, one));
  }
  result.attributes = attributes;
  return result;
}

/** Every element of that name below, in document order. */
export function findAll(from: Element, name: string): Element[] {
  return (from.children ?? []).flatMap((child) =>
    child.name === name ? [child, ...findAll(child, name)] : findAll(child, name),
  );
}
