/** A node sends of a question about users only the fields that its configuration lists: one forgotten there would be silently absent. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseXmlRequest } from '../../../src/freeswitch/xml';
import { DIRECTORY_FIELDS } from '../../../src/http/nodes/form';
import { projectRoot } from '../../../scripts/project';
import { bindingsOf, readBindings, sentFields } from '../../../scripts/simulator/sent-fields';

const file = readFileSync(join(projectRoot(), 'freeswitch/autoload_configs/xml_curl.conf.xml'), 'utf8');
const bindings = readBindings(file);

/** What our own reading of the form adds, and what only a question is asked for that is none about users. */
const NOT_SENT = ['sip_auth_uri as sent', 'Hunt-Context', 'Caller-Context'];

/** Every field that is looked at, for questions that take every way. */
function fieldsRead(): string[] {
  const read = new Set<string>();
  const ask = (form: Record<string, string>): void => {
    const watched = new Proxy(form, {
      get(target, name: string) {
        read.add(name);
        return target[name];
      },
    });
    parseXmlRequest(watched);
  };
  const user = { section: 'directory', user: 'ann', domain: 'clinic.test' };
  const name = { sip_from_user: 'a', sip_from_host: 'b', sip_to_user: 'c', sip_to_host: 'd' };
  ask({ ...user, ...name, action: 'sip_auth', sip_auth_response: 'x' });
  ask({ ...user, action: 'user_call' });
  ask({ section: 'directory', user: 'ann', key_name: 'name', key_value: 'clinic.test' });
  ask({ section: 'directory', purpose: 'gateways' });
  ask({ section: 'directory', purpose: 'network-list' });
  return [...read].filter((field) => !NOT_SENT.includes(field)).sort();
}

const ofUsers = bindings.filter(({ sections }) => sections.includes('directory'));

test('whatever is read of a question about users is sent by a node, and nothing else', () => {
  expect(ofUsers).toHaveLength(2);
  for (const { fields } of ofUsers) {
    const sent = [...fields!].filter((field) => field !== 'tag_name').sort();
    expect(sent).toEqual(fieldsRead());
    expect([...DIRECTORY_FIELDS].sort()).toEqual(sent);
  }
});

test('each section is asked for by two bindings, one address after the other, and all but users with all there is', () => {
  for (const section of ['configuration', 'dialplan', 'directory']) {
    const names = bindings.filter(({ sections }) => sections.includes(section)).map(({ name }) => name);
    expect(names).toHaveLength(2);
    expect(names[1]).toBe(`${names[0]} again`);
  }
  for (const { sections, fields } of bindings) expect(fields === undefined).toBe(!sections.includes('directory'));
});

test('the bindings differ in their address, sections and fields alone', () => {
  const [first, ...others] = [...file.matchAll(/<binding [\s\S]*?<\/binding>/g)].map(([text]) =>
    [...text.matchAll(/<param name="([^"]+)" value="([^"]*)"/g)]
      .filter(([, name]) => name !== 'enable-post-var' && name !== 'gateway-url')
      .map(([, name, value]) => `${name}=${value}`),
  );
  for (const other of others) expect(other).toEqual(first);
});

test('a simulated node sends as a real one does', () => {
  const question = { hostname: 'n', section: 'directory', user: 'ann', key: 'id', 'Event-Name': 'REQUEST_PARAMS' };
  expect(sentFields(bindingsOf('directory')[0]!, question)).toEqual({
    hostname: 'n',
    section: 'directory',
    user: 'ann',
  });
  const way = { hostname: 'n', section: 'dialplan', variable_x: '1' };
  expect(sentFields(bindingsOf('dialplan')[0]!, way)).toEqual(way);
});
