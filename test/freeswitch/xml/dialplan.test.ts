import {
  askPinPlan,
  bridgeToUserPlan,
  echoPlan,
  findAll,
  internodeDeliveryPlan,
  parseDocument,
  refusePlan,
  withFixedMedia,
} from '../../../src/freeswitch/xml';
import { expectInert, HOSTILE, hostileMixes } from './hostile';

const bridge = {
  callId: 'call-1',
  legRole: 'from' as const,
  username: '1002',
  domain: 'clinic.test',
  callerName: 'Ada',
  callerNumber: '1001',
  ringTimeoutSeconds: 30,
};

const allSteps = (xml: string): string[] =>
  findAll(parseDocument(xml), 'action').map((a) => [a.attributes?.application, a.attributes?.data].join(' ').trim());
/** Behind the one that every plan begins with. */
const steps = (xml: string): string[] => allSteps(xml).slice(1);

test('takes the guard of the directory back first, whatever the plan', () => {
  const plans = [
    bridgeToUserPlan(bridge),
    echoPlan(),
    refusePlan({ sipStatus: 404, reason: 'x' }),
    internodeDeliveryPlan({ callId: 'call-1', dialString: 'x', ringTimeoutSeconds: 1 }),
    askPinPlan({ callId: 'call-1', context: 'users', destination: '1', triesBefore: 0 }),
  ];
  for (const plan of plans) expect(allSteps(plan)[0]).toBe('unset execute_on_answer');
});

describe('bridgeToUserPlan', () => {
  test('names the call on both legs, rings, and ends with the cause of the other leg', () => {
    expect(steps(bridgeToUserPlan(bridge))).toEqual([
      'set switchyard_call_id=call-1',
      'set switchyard_leg=from',
      'set accountcode=call-1',
      'export nolocal:switchyard_call_id=call-1',
      'export nolocal:switchyard_leg=to',
      'export nolocal:accountcode=call-1',
      'set effective_caller_id_name=Ada',
      'set effective_caller_id_number=1001',
      'set call_timeout=30',
      'set originate_timeout=30',
      'set hangup_after_bridge=true',
      'set transfer_ringback=%(1000,4000,425)',
      'set sip_copy_custom_headers=false',
      'export nolocal:media_mix_inbound_outbound_codecs=true',
      'bridge user/1002@clinic.test',
      'hangup ${originate_disposition}',
    ]);
  });

  test('runs nothing that a caller is called', () => {
    for (const text of [...HOSTILE, ...hostileMixes(500)]) {
      const xml = bridgeToUserPlan({ ...bridge, callerName: text, callerNumber: text });
      expectInert(xml);
      const all = steps(xml);
      expect(all).toHaveLength(16);
      expect(all.filter((s) => s.includes('${'))).toEqual(['hangup ${originate_disposition}']);
      expect(all[6]).not.toMatch(/["\\]/);
    }
  });

  test.each(['a@b', 'a,b', '${x}', "a'b"])('does not dial %j', (username) => {
    expect(() => bridgeToUserPlan({ ...bridge, username })).toThrow();
  });
});

test('delivers a call from another node: the leg that came is transit', () => {
  const plan = steps(
    internodeDeliveryPlan({ callId: 'c', dialString: 'sofia/internal/sip:a@h', ringTimeoutSeconds: 9 }),
  );
  expect(plan).toContain('set switchyard_leg=transit');
  expect(plan).toContain('export nolocal:switchyard_leg=to');
  expect(plan).toContain('bridge sofia/internal/sip:a@h');
});

test('echoes', () => expect(steps(echoPlan())).toEqual(['answer', 'echo']));

test('refuses with a cause, and keeps the reason as text', () => {
  const plan = steps(refusePlan({ sipStatus: 404, reason: 'no such number: ${system(x)}' }));
  expect(plan).toEqual(['set switchyard_refused=no such number： ＄{system(x)}', 'hangup UNALLOCATED_NUMBER']);
});

test('fixes where media goes before anything of the plan is run, whatever the context is called', () => {
  const plan = withFixedMedia(echoPlan({ context: '<condition>' }));
  expect(/<action [^>]*>/.exec(plan)?.[0]).toBe('<action application="set" data="disable_rtp_auto_adjust=true"/>');
  expect(plan.match(/disable_rtp_auto_adjust/g)).toHaveLength(1);
  expect(plan.indexOf('disable_rtp_auto_adjust')).toBeLessThan(plan.indexOf('application="answer"'));
});
