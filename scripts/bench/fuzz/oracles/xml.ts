/**
 * Reads an answer as a node does, and as a strict reader of XML 1.0 would: written after switch_xml.c of 1.10.12
 * (preprocess, expand_vars) and the specification, and after nothing of ours.
 */
import { OracleFault } from '../target';

export interface XmlElement {
  name: string;
  attributes: Record<string, string>;
  /** The names of the elements around it, outermost first. */
  path: string[];
  text: string;
}

export interface XmlAnswer {
  root: string;
  elements: XmlElement[];
}

const NAME = /^[A-Za-z_][A-Za-z0-9_.-]*/;
const NOT_XML =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

const fail = (what: string, xml: string, at: number): never => {
  throw new OracleFault(`not XML: ${what} at ${at}: …${xml.slice(Math.max(0, at - 40), at + 60)}…`);
};

/** @throws OracleFault where it is not one well-formed document of elements, attributes and text, and nothing else */
export function readXml(xml: string): XmlAnswer {
  const bad = NOT_XML.exec(xml);
  if (bad) fail('a character that XML has not', xml, bad.index);
  const elements: XmlElement[] = [];
  const open: XmlElement[] = [];
  let root: string | undefined;
  for (let at = 0; at < xml.length;) {
    if (xml[at] !== '<') {
      const end = xml.indexOf('<', at);
      const raw = xml.slice(at, end < 0 ? undefined : end);
      const inside = open.at(-1);
      if (!inside && raw.trim() !== '') fail('text outside of the document', xml, at);
      if (raw.includes(']]>')) fail(']]> in text', xml, at);
      if (inside) inside.text += decode(raw, xml, at);
      at = end < 0 ? xml.length : end;
      continue;
    }
    if (xml.startsWith('</', at)) {
      const name = NAME.exec(xml.slice(at + 2))?.[0] ?? fail('no name', xml, at);
      if (open.pop()?.name !== name) fail(`</${name}> closes nothing`, xml, at);
      at += 2 + name.length;
      if (xml[at] !== '>') fail('an end tag that does not end', xml, at);
      at += 1;
      continue;
    }
    const name = NAME.exec(xml.slice(at + 1))?.[0] ?? fail('a tag without a name', xml, at);
    if (open.length === 0 && root !== undefined) fail('a second document', xml, at);
    root ??= name;
    const element: XmlElement = { name, attributes: {}, path: open.map((e) => e.name), text: '' };
    elements.push(element);
    at += 1 + name.length;
    for (;;) {
      const blanks = /^\s*/.exec(xml.slice(at))![0].length;
      at += blanks;
      if (xml.startsWith('/>', at)) {
        at += 2;
        break;
      }
      if (xml[at] === '>') {
        at += 1;
        open.push(element);
        break;
      }
      const key = NAME.exec(xml.slice(at))?.[0] ?? fail('no attribute', xml, at);
      if (blanks === 0) fail('no blank before an attribute', xml, at);
      at += key.length;
      const quote = xml[at + 1];
      if (xml[at] !== '=' || (quote !== '"' && quote !== "'")) return fail('an attribute without a value', xml, at);
      const end = xml.indexOf(quote, at + 2);
      if (end < 0) fail('an attribute that does not end', xml, at);
      const raw = xml.slice(at + 2, end);
      if (raw.includes('<')) fail('< in an attribute', xml, at);
      if (Object.hasOwn(element.attributes, key)) fail('an attribute twice', xml, at);
      element.attributes[key] = decode(raw, xml, at);
      at = end + 1;
    }
  }
  if (open.length > 0) fail('it does not end', xml, xml.length);
  if (root === undefined) fail('nothing in it', xml, 0);
  return { root: root!, elements };
}

function decode(raw: string, xml: string, at: number): string {
  return raw.replace(/&([^;&]{0,10});?/g, (all, name: string) => {
    if (!all.endsWith(';')) return fail(`${all} is no reference`, xml, at);
    const known = ENTITIES[name];
    if (known !== undefined) return known;
    const code = /^#(?:(\d+)|x([0-9a-fA-F]+))$/.exec(name);
    const point = code ? parseInt(code[1] ?? code[2]!, code[1] ? 10 : 16) : NaN;
    if (!(point > 0 && point <= 0x10ffff)) return fail(`${all} is no reference`, xml, at);
    return String.fromCodePoint(point);
  });
}

/** A `$${name}` that stands in an answer of ours, and is meant: the node puts its own folder or file there. */
const OURS_GLOBAL: readonly string[] = ['temp_dir', 'switchyard_ca_file'];
/** A `${name}` that is meant: it stands in an action's data, and is FreeSWITCH's own word for how a bridge went. */
const OURS_CHANNEL: readonly string[] = ['originate_disposition'];

/**
 * What a node's preprocessor finds in an answer before it is XML to it.
 * @throws OracleFault where that is anything but our own globals
 */
export function mustPassPreprocessor(xml: string): void {
  const must = (holds: boolean, what: string): void => {
    if (!holds) throw new OracleFault(`${what}: ${xml.slice(0, 3000)}`);
  };
  must(!/[\n\r]/.test(xml), 'more than one line');
  must(!/x-pre-process/i.test(xml), 'a preprocessor line, in any case of letters');
  must(!xml.includes('<?'), 'a line with <? is dropped');
  must(!/<\/?include>/.test(xml), 'a line with <include> is dropped');
  must(!xml.includes('<!--'), 'a comment, or a preprocessor command');
  for (const [all, name] of xml.matchAll(/\$\$\{([^}]*)\}?/g)) {
    must(OURS_GLOBAL.includes(name!) && all.endsWith('}'), `the global ${all} is none of ours`);
  }
  for (const [all, name] of xml.matchAll(/(?<!\$)\$\{([^}]*)\}?/g)) {
    must(OURS_CHANNEL.includes(name!) && all.endsWith('}'), `the expansion ${all} is none of ours`);
  }
}
