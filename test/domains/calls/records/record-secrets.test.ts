/** What a call record says once nobody's secret stands in it. */
import { randomBytes } from 'node:crypto';
import { withoutSecrets } from '../../../../src/domains/calls/records/record-secrets';
import { signToken } from '../../../../src/infra/secrets';

const token = signToken(randomBytes(32), 'call', { c: 'call', n: 'two', exp: 1 });
const header = 'sip_h_X-Switchyard-Token';

test('a token stands nowhere in a kept record: not in a variable, an argument, a name or a step of the callflow', () => {
  const dialled = `[switchyard_leg=transit,${header}=${token},sip_h_X-Switchyard-Call=c1]sofia/internode/bob@10.0.0.2:5080`;
  const record = {
    variables: {
      [header]: token,
      last_arg: dialled,
      current_application_data: encodeURIComponent(dialled),
      uuid: 'u1',
    },
    app_log: { applications: [{ app_name: 'bridge', app_data: dialled }] },
    callflow: [{ extension: { applications: [[dialled]] }, [token]: 1, hangup: null }],
  };
  const kept = withoutSecrets(record);
  expect(JSON.stringify(kept)).not.toContain(token.split('.')[1]);
  expect(JSON.stringify(kept)).not.toContain(token.split('.')[0]);
  // What is told of the call beside it is still there.
  expect(kept).toMatchObject({
    variables: {
      uuid: 'u1',
      last_arg: `[switchyard_leg=transit,${header}=not-kept,sip_h_X-Switchyard-Call=c1]sofia/internode/bob@10.0.0.2:5080`,
    },
  });
});

test('the digits of a PIN stand nowhere in a kept record, and how often one was asked for does', () => {
  const record = {
    variables: { switchyard_pin: '4711', digits_dialed: '4711#' },
    app_log: [
      { app_data: 'switchyard_pin=4711' },
      { app_data: 'digits_dialed%3D4711%23' },
      { app_data: 'switchyard_pin_tries=2' },
    ],
  };
  const kept = withoutSecrets(record);
  expect(JSON.stringify(kept)).not.toContain('4711');
  expect(JSON.stringify(kept)).toContain('switchyard_pin_tries=2');
});

test('a record without secrets is kept as it is', () => {
  const record = { a: [1, null, true, { b: 'NORMAL_CLEARING', c: 'sip:eyJ@h' }], d: 'Zoë, =' };
  expect(withoutSecrets(record)).toEqual(record);
});
