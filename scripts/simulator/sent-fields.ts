/** Says which fields of a question a node sends, by the same file that a real one reads: `enable-post-var` of mod_xml_curl. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseDocument, type Element } from '../../src/freeswitch/xml/document';
import { projectRoot } from '../project';

const FILE = 'freeswitch/autoload_configs/xml_curl.conf.xml';

/** What the module writes in front of all others, whatever is listed. */
const ALWAYS = ['hostname', 'section', 'tag_name', 'key_name', 'key_value'] as const;

export interface Binding {
  name: string;
  sections: string[];
  /** Undefined: all are sent. */
  fields: ReadonlySet<string> | undefined;
}

export function readBindings(text: string): Binding[] {
  const bindings = childrenOf(childrenOf(parseDocument(text), 'bindings')[0], 'binding');
  return bindings.map((binding) => {
    const params = childrenOf(binding, 'param').map(({ attributes = {} }) => attributes as Record<string, string>);
    const fields = params.filter(({ name }) => name === 'enable-post-var').map(({ value }) => value!);
    return {
      name: String(binding.attributes?.name),
      sections: (params.find(({ name }) => name === 'gateway-url')?.bindings ?? '').split('|'),
      fields: fields.length > 0 ? new Set([...ALWAYS, ...fields]) : undefined,
    };
  });
}

const childrenOf = (from: Element | undefined, name: string): Element[] =>
  from?.children?.filter((child) => child.name === name) ?? [];

let bindings: Binding[] | undefined;

/** Those of a question's section, in their order. */
export function bindingsOf(section: string): Binding[] {
  bindings ??= readBindings(readFileSync(join(projectRoot(), FILE), 'utf8'));
  return bindings.filter(({ sections }) => sections.includes(section));
}

/** The question as it is sent. */
export function sentFields({ fields }: Binding, question: Record<string, string>): Record<string, string> {
  if (!fields) return question;
  return Object.fromEntries(Object.entries(question).filter(([name]) => fields.has(name)));
}
