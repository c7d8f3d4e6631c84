/** The one place that knows the XML library: answers are built and read here, in the form FreeSWITCH's parser takes. */
import { create } from 'xmlbuilder2';
import { hidePreprocessor, oneLine } from './escape';

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
 * A character that XML can't carry becomes U+FFFD.
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
  const attributes = Object.fromEntries(Object.entries(item.attributes ?? {}).map(([k, v]) => [k, whole(String(v))]));
  const node = parent.ele(item.name, attributes);
  for (const child of item.children ?? []) append(node as unknown as Node, child);
  if (item.text !== undefined) node.txt(whole(item.text));
}

/**
 * What can't stand in an answer, whoever wrote it: a line break would make a second line of it, and what is no character
 * of XML would keep the whole answer back. The library leaves an `&` alone where what follows looks like a reference, so
 * `&#36;{…}` in somebody's name would reach the node as `${…}` and run.
 */
function whole(text: string): string {
  return oneLine(text).replace(/&/g, '&amp;');
}

/** The part of the library's DOM that is read here. */
interface DomNode {
  nodeType: number;
  nodeName: string;
  nodeValue: string | null;
  childNodes: Iterable<DomNode>;
  attributes?: Iterable<{ name: string; value: string }>;
}

const ELEMENT = 1;
const TEXT = [3, 4];

/** Reads a document back: for tests and for the simulator, which asks as a node does. @internal @throws where it is not XML */
export function parseDocument(xml: string): Element {
  return read(create(xml.replace(/&amp;/g, AMPERSAND)).root().node as unknown as DomNode);
}

/** The library's reader decodes twice (`&amp;#36;` to `$`), FreeSWITCH once: this stands for `&` while it reads. */
const AMPERSAND = '\ufdd0';

const decoded = (text: string): string => text.replaceAll(AMPERSAND, '&');

function read(node: DomNode): Element {
  const inside = [...node.childNodes];
  const children = inside.filter((n) => n.nodeType === ELEMENT).map(read);
  const text = inside.filter((n) => TEXT.includes(n.nodeType)).map((n) => decoded(n.nodeValue ?? ''));
  return {
    name: node.nodeName,
    attributes: Object.fromEntries([...(node.attributes ?? [])].map(({ name, value }) => [name, decoded(value)])),
    children,
    ...(text.length > 0 && children.length === 0 ? { text: text.join('') } : {}),
  };
}

/** Every element of that name below, in document order. */
export function findAll(from: Element, name: string): Element[] {
  return (from.children ?? []).flatMap((child) =>
    child.name === name ? [child, ...findAll(child, name)] : findAll(child, name),
  );
}
