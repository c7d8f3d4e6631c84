/** Holds who has which place in the video to what was said last. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ScriptedRoom } from './scripted-room';
import { useControlApi } from './control-api';

const steered = useControlApi();
const { enter, call, events } = steered;
let room: ScriptedRoom;

beforeEach(() => {
  ({ room } = steered.now());
});

test("a place is one person's: whoever had it gives it up, and who gets it keeps it", async () => {
  const [ada, bob] = [await enter(1, 'ada'), await enter(2, 'bob')];
  await call('PATCH', `/participants/${ada}`, { reservation: 'doctor' });
  const moved = await call('PATCH', `/participants/${bob}`, { reservation: 'doctor' });
  expect(moved.body).toMatchObject({ desired: { reservation: 'doctor' }, pending: [] });
  expect((await call('GET', `/participants/${ada}`)).body.desired.reservation).toBeNull();
  const quiet = async () => {
    const before = room.lines.length;
    await sleep(500); // the sweep looks every 100 ms: it would give the place back to the other
    expect(room.lines.slice(before).filter((line) => /vid-(res-id|layer)/.test(line))).toEqual([]);
  };
  await quiet();
  await call('PATCH', `/participants/${ada}`, { layer: 2 });
  const layered = await call('PATCH', `/participants/${bob}`, { layer: 2 });
  expect(layered.body).toMatchObject({ desired: { layer: 2, reservation: null }, observed: { layer: 2 }, pending: [] });
  await quiet();
  expect((await call('GET', `/participants/${ada}`)).body).toMatchObject({ desired: { layer: null }, pending: [] });
  const back = await call('PATCH', `/participants/${bob}`, { layer: null });
  expect(back.body).toMatchObject({ desired: { layer: null }, observed: { layer: null }, pending: [] });
  expect((await events('participant.changed')).map((e) => [e.data.name, e.data.layer, e.data.reservation])).toEqual([
    ['ada', null, 'doctor'],
    ['bob', null, 'doctor'],
    ['ada', undefined, null],
    ['ada', 2, null],
    ['bob', 2, null],
    ['ada', null, undefined],
    ['bob', null, undefined],
  ]);
});
