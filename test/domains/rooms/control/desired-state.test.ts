import {
  listDifferences,
  MAX_TRIES,
  nextStep,
  readLayout,
  type Attempt,
  type SeenFloor,
  type SeenParticipant,
} from '../../../../src/domains/rooms/control/desired-state';
import { listHands, nextHand } from '../../../../src/domains/rooms/control/hand-queue';
import { seenInEvent } from '../../../../src/domains/rooms/control/observed-events';
import { judgeQuality, type Sample } from '../../../../src/domains/rooms/live/quality';
import type { ParticipantRow } from '../../../../src/domains/rooms/participants/participants.store';
import type { SessionRow } from '../../../../src/domains/rooms/sessions/sessions.store';
import {
  parseMediaCounters,
  parseReply,
  parseRoomFlags,
  playInRoom,
  parsePrinted,
  sayInRoom,
  setReservation,
  type RoomEvent,
} from '../../../../src/freeswitch/esl';

const ROOM = '0190c1de-0000-7000-8000-000000000001';
const LEG = '0190c1de-0000-7000-8000-0000000000aa';

function session(change: Partial<SessionRow> = {}): SessionRow {
  return {
    id: ROOM,
    locked: false,
    layout: null,
    floor_participant_id: null,
    video_floor_participant_id: null,
    settings: {},
    observed: {},
    ...change,
  } as SessionRow;
}

function person(id: string, change: Partial<ParticipantRow> = {}, seen: SeenParticipant = {}): ParticipantRow {
  return {
    id,
    state: 'in',
    member_id: 1,
    leg_id: LEG,
    muted: false,
    video_muted: false,
    deaf: false,
    volume_in: 0,
    volume_out: 0,
    layer: null,
    reservation: null,
    banner: null,
    max_video_kbps: null,
    hand_raised_at: null,
    observed: { hasVideo: true, ...seen },
    ...change,
  } as ParticipantRow;
}

const lines = (s: SessionRow, people: ParticipantRow[], floor: SeenFloor = {}): string[] =>
  listDifferences(s, people, floor).flatMap((d) =>
    d.commands.map((c) => c.line.replace(`conference ${ROOM} `, '').replace(LEG, 'LEG')),
  );

describe('what is desired and what was seen', () => {
  test('one of whom nothing is desired needs nothing, whether much or nothing was seen of them', () => {
    expect(lines(session(), [person('a')])).toEqual([]);
    const seen = { muted: false, videoMuted: false, deaf: false, volumeIn: 0, volumeOut: 0, reservation: null };
    expect(lines(session({ observed: { locked: false } }), [person('a', {}, seen)])).toEqual([]);
  });

  test('somebody who comes back without the mute that was desired for them is muted again', () => {
    expect(lines(session(), [person('a', { muted: true })])).toEqual(['mute 1']);
    expect(lines(session(), [person('a', { muted: true }, { muted: true })])).toEqual([]);
    expect(lines(session(), [person('a', {}, { muted: true, deaf: true })])).toEqual(['unmute 1', 'undeaf 1']);
  });

  test('a room without a mixed video is sent nothing about places in it: that would end its node', () => {
    const desired = { muted: true, layer: 2, reservation: 'teacher', banner: 'Dr Löwe' };
    const passed = session({ settings: { video: { mode: 'passthrough' } } });
    expect(lines(passed, [person('a', desired)])).toEqual(['mute 1']);
  });

  test('every desired change has its command', () => {
    const desired = {
      video_muted: true,
      deaf: true,
      volume_in: -2,
      volume_out: 3,
      layer: 2,
      reservation: 'teacher',
      banner: 'Dr Löwe',
      max_video_kbps: 300,
    };
    expect(lines(session({ locked: true, layout: 'group:grid' }), [person('a', desired)])).toEqual([
      'lock',
      'vid-layout group:grid',
      'vmute 1',
      'deaf 1',
      'volume_in 1 -2',
      'volume_out 1 3',
      'vid-res-id 1 teacher force',
      'vid-layer 1 2',
      'vid-banner 1 Dr%20L%C3%B6we',
      'setvar group-k256 256kb',
      'vid-codec-group 1 k256',
    ]);
  });

  test('what was desired a video and is not any more is undone', () => {
    const seen = { layer: 2, reservation: 'teacher', banner: 'x', maxVideoKbps: 300 };
    expect(lines(session(), [person('a', {}, seen)])).toEqual([
      'vid-res-id 1 clear',
      'vid-res-id 1 clear',
      'vid-banner 1 clear',
      'vid-codec-group 1 clear',
    ]);
    const kept = person('a', { reservation: 'teacher' }, { layer: 2, reservation: 'teacher' });
    expect(lines(session(), [kept])).toEqual(['vid-res-id 1 teacher force']);
  });

  test('everybody is sent what the room says for one, but for those of whom something else is desired', () => {
    const narrow = session({ settings: { video: { maxKbps: 1000, participantKbps: 100 } } });
    expect(lines(narrow, [person('a')])).toEqual(['setvar group-k96 96kb', 'vid-codec-group 1 k96']);
    expect(lines(narrow, [person('a', {}, { maxVideoKbps: 100 })])).toEqual([]);
    expect(lines(narrow, [person('a', { max_video_kbps: 64 }, { maxVideoKbps: 100 })])).toEqual([
      'setvar group-k64 64kb',
      'vid-codec-group 1 k64',
    ]);
    const asAll = person('a', { max_video_kbps: 1500 }, { maxVideoKbps: 100 });
    expect(lines(narrow, [asAll])).toEqual(['vid-codec-group 1 clear']);
  });

  test('nothing of a video is tried on one who sends none', () => {
    const desired = { video_muted: true, layer: 2, banner: 'x', max_video_kbps: 300, muted: true };
    expect(lines(session(), [person('a', desired, { hasVideo: false })])).toEqual(['mute 1']);
  });

  test('one who is on the way in, away or gone is left alone', () => {
    for (const state of ['joining', 'away', 'left'] as const) {
      expect(lines(session(), [person('a', { state, muted: true })])).toEqual([]);
    }
    expect(lines(session(), [person('a', { member_id: null, muted: true })])).toEqual([]);
  });

  test('a desired change that was given up is left alone until another is desired', () => {
    const failed = { layer: 50 };
    expect(lines(session(), [person('a', { layer: 50 }, { layer: 1, failed })])).toEqual([]);
    expect(lines(session(), [person('a', { layer: 2 }, { layer: 1, failed })])).toEqual(['vid-layer 1 2']);
    const observed = { locked: false, failed: { locked: true } };
    expect(lines(session({ locked: true, observed } as Partial<SessionRow>), [])).toEqual([]);
  });

  test('the floor that is held goes back to whom it is held for, from whoever has it', () => {
    const held = session({ floor_participant_id: 'a', video_floor_participant_id: 'a' });
    const people = [person('a'), person('b', { member_id: 2 })];
    expect(lines(held, people, { audio: 'a', video: 'a', videoHeld: true })).toEqual([]);
    expect(lines(held, people, { audio: 'b', video: 'b', videoHeld: true })).toEqual([
      'clear-vid-floor',
      'vid-floor 1 force',
      'floor 2',
      'floor 1',
    ]);
    expect(lines(held, people, { audio: null, video: 'a', videoHeld: false })).toEqual([
      'clear-vid-floor',
      'vid-floor 1 force',
      'floor 1',
    ]);
    expect(lines(held, people, {})).toEqual([]); // not known: nothing is taken from anybody
    expect(lines(held, [person('a', { state: 'away' })], { audio: null, video: null })).toEqual([]);
  });

  test('a desired change is tried at once, again after growing pauses, and given up after five tries', () => {
    const times: number[] = [];
    let attempt: Attempt | undefined;
    for (let now = 0; now < 60_000; now += 100) {
      const step = nextStep(true, attempt, now);
      if (step.do === 'give_up') {
        expect(step.tries).toBe(MAX_TRIES);
        times.push(now);
        break;
      }
      if (step.do !== 'try') continue;
      times.push(now);
      attempt = { wanted: true, tries: (attempt?.tries ?? 0) + 1, lastAtMs: now };
    }
    expect(times).toEqual([0, 500, 1500, 3500, 7500, 11_500]);
    expect(nextStep(false, attempt, 11_500)).toEqual({ do: 'try' });
  });

  test('a layout counts only where the answer names it: an unknown group is answered +OK with none', () => {
    const layout = (raw: string, name: string) => readLayout(parseReply(raw), name);
    expect(layout('+OK Change canvas 1 to layout [2x2]\n', '2x2')).toBe('2x2');
    expect(layout('+OK Change to layout group [grid]\n', 'group:grid')).toBe('group:grid');
    expect(layout('+OK Change to layout group []\n-ERR Invalid layout [group:x]\n', 'group:grid')).toBeUndefined();
    expect(layout('-ERR Invalid layout [2x2]\n', '2x2')).toBeUndefined();
  });
});

describe('raised hands', () => {
  const at = (ms: number) => new Date(1_000_000 + ms);
  test('they are served in the order they went up; who is away keeps their place', () => {
    const people = [
      person('c', { hand_raised_at: at(3) }),
      person('a', { hand_raised_at: at(1), state: 'away' }),
      person('b', { hand_raised_at: at(2) }),
      person('d'),
      person('e', { hand_raised_at: at(0), state: 'left' }),
    ];
    expect(listHands(people).map((p) => p.id)).toEqual(['a', 'b', 'c']);
    expect(nextHand(people)?.id).toBe('b');
    expect(nextHand([person('d')])).toBeUndefined();
  });
});

describe("what a node's words tell", () => {
  test('each event of a member tells all that can be muted of them', () => {
    const fields = { Hear: 'true', See: 'false', Speak: 'false', Video: 'true', 'Member-Type': 'moderator' };
    const event = { type: 'room', action: 'mute-member', room: ROOM, atMs: 0, fields } as unknown as RoomEvent;
    const all = { muted: true, videoMuted: true, deaf: false, hasVideo: true, moderator: true };
    expect(seenInEvent(event)).toEqual(all);
    const louder = { ...event, action: 'volume-in-member', fields: { ...fields, 'Volume-Level': '3' } };
    expect(seenInEvent(louder)).toEqual({ ...all, volumeIn: 3 });
    expect(seenInEvent({ ...event, fields: {} })).toBeUndefined();
  });

  test('floors and reservations are read from the list whatever names people have', () => {
    const list = [
      `Conference ${ROOM} (2 members rate: 48000 flags: running|video_floor_only|video_floor_lock|json_status)`,
      `2;sofia/internal/bob@x;${LEG};a;b|floor|vid-floor;c;9;9;9;b;hear|speak|talking|video|floor;0;0;200`,
      `1;sofia/internal/ada@x;${LEG};ada;ada;hear|speak|video|vid-floor|res-id:teacher;2;-2;200`,
      '+OK Conference other (1 member rate: 48000 flags: running)',
      `7;loopback/x;${LEG};x;x;hear|speak|floor;0;0;200`,
      '',
    ].join('\n');
    expect(parseRoomFlags(list)).toEqual([
      {
        name: ROOM,
        videoFloorHeld: true,
        members: [
          { memberId: 2, floor: true, videoFloor: false, reservation: null },
          { memberId: 1, floor: false, videoFloor: true, reservation: 'teacher' },
        ],
      },
      {
        name: 'other',
        videoFloorHeld: false,
        members: [{ memberId: 7, floor: true, videoFloor: false, reservation: null }],
      },
    ]);
    expect(parseRoomFlags(`Conference ${ROOM} not found`, ROOM)).toEqual([{ name: ROOM, members: [] }]);
  });

  test('a network is judged by the last seconds, not by all that went before', () => {
    const sample = (atMs: number, packets: number, flaws: number, video?: [number, number]): Sample => ({
      atMs,
      counters: {
        audio: { packets, flaws, bytes: packets * 80 },
        video: video ? { packets: video[0], flaws: video[1], bytes: video[0] * 1000 } : null,
        mos: 4.5,
      },
    });
    const start = sample(0, 1000, 500);
    expect(judgeQuality(start, sample(5000, 1250, 500))).toMatchObject({ class: 'good', audioLossPercent: 0 });
    expect(judgeQuality(start, sample(5000, 1240, 510))).toMatchObject({ class: 'fair', audioLossPercent: 4 });
    expect(judgeQuality(start, sample(5000, 1200, 550))).toMatchObject({ class: 'poor' });
    expect(judgeQuality(start, sample(5000, 1005, 500))).toMatchObject({ class: 'poor', audioPacketsPerSecond: 1 });
    const seen = judgeQuality(sample(0, 0, 0, [0, 0]), sample(5000, 250, 0, [500, 30]));
    expect(seen).toMatchObject({ class: 'fair', videoKbps: 800, videoLossPercent: 5.7 });
    expect(judgeQuality(start, sample(5000, 10, 0))).toBeUndefined(); // another channel
  });

  test('counters of a channel without video are those of its sound', () => {
    expect(parseMediaCounters('2047;3;180016;;;;4.50\n')).toEqual({
      audio: { packets: 2047, flaws: 3, bytes: 180016 },
      video: null,
      mos: 4.5,
    });
    expect(parseMediaCounters('-ERR no such channel')).toBeUndefined();
  });

  test('a video is taken from base64 only', () => {
    expect(parsePrinted('iVBORw0KGgo=\n')?.subarray(1, 4).toString()).toBe('PNG');
    expect(parsePrinted('base64: /tmp/x.png: No such file or directory')).toBeUndefined();
    expect(parsePrinted('')).toBeUndefined();
  });
});

describe('what reaches a node', () => {
  test('speech can not be smuggled in as a file: it would end a node that has no voice', () => {
    for (const source of ['say:flite|slt|hello', ' SAY:x', '{a=b}say:x']) {
      expect(() => playInRoom(ROOM, source, 1)).toThrow('Neither a file nor a tone');
    }
    expect(playInRoom(ROOM, 'tone_stream://%(200,100,440);loops=2', 3).line).toBe(
      `conference ${ROOM} play tone_stream://%(200,100,440);loops=2 3`,
    );
  });

  test('spoken text runs nothing and chooses no voice', () => {
    expect(sayInRoom(ROOM, '#slt#hello ${system(id)}').line).toBe(`conference ${ROOM} say slt#hello $(system(id))`);
    expect(() => sayInRoom(ROOM, ' # ')).toThrow('nothing to say');
    expect(() => sayInRoom(ROOM, 'a\nconference list')).toThrow('control character');
  });

  test('a reservation said twice stays', () => {
    expect(setReservation(ROOM, 1, 'a').line).toMatch(/vid-res-id 1 a force$/);
    expect(setReservation(ROOM, 1, null).line).toMatch(/vid-res-id 1 clear$/);
  });
});
