/** Holds the quick reading of a node's form to what node:querystring reads, for all that a question is made of. */
import { parse } from 'node:querystring';
import { parseXmlRequest } from '../../../src/freeswitch/xml';
import { readNodeForm } from '../../../src/http/nodes/form';
import { questionOf } from '../../../scripts/bench/xml.load';

const slow = (body: string) => parseXmlRequest(parse(body, '&', '=', { maxKeys: 2000 }) as Record<string, string>);
const quick = (body: string) => parseXmlRequest(readNodeForm(body));

const directory = 'hostname=n1&section=directory&tag_name=domain&key_name=name&key_value=a.test&';

test.each([
  ['a password question', questionOf(7)],
  ['signs and spaces', `${directory}user=Jos%C3%A9+x&domain=a.test&sip_user_agent=A%2FB+%2b%26`],
  ['broken escapes', `${directory}user=Jos%E9%zz%&domain=a.test`],
  ['fields without value or name', `${directory}user&=x&&domain=a.test&action=&ip`],
  ['a call to a user', `${directory}action=user_call&user=1&domain=d&variable_switchyard_call_id=c&switchyard_leg=to`],
  ['gateways', `${directory}purpose=gateways&profile=internal`],
  ['the section elsewhere', 'section%3Dx=1&key_value=a&key_name=name&section=directory&user=1&domain=d'],
  [
    'a dialplan question',
    'section=dialplan&Unique-ID=1&Hunt-Context=users&Hunt-Destination-Number=9%2B1&variable_%61=b',
  ],
  ['a configuration question', 'hostname=n&section=configuration&key_name=name&key_value=acl.conf'],
  ['nothing', ''],
])('%s is read alike', (_name, body) => {
  expect(quick(body)).toEqual(slow(body));
});

test('of a field that stands twice the first counts', () => {
  expect(quick(`${directory}user=1&domain=d&user=2`)).toMatchObject({ username: '1' });
});

test('names of JavaScript are names like any other', () => {
  const fields = readNodeForm('section=dialplan&__proto__=x&constructor=y');
  expect(Object.getPrototypeOf(fields)).toBeNull();
  expect(fields['constructor']).toBe('y');
  expect(readNodeForm(`${directory}__proto__=x&toString=y&user=1`)).toMatchObject({ user: '1' });
});
