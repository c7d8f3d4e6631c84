/** What Switchyard relies on of a room: who is let in, what is told of it, and the words of every answer. */
import { parseRooms } from '../../src/freeswitch/esl/listings/room-snapshot';
import { CAUSE_AFTER_ROOM } from './peers/rooms-answerer';
import { BASE_PROFILE } from './peers/rooms-answerer';
import type { Contract } from './describe-node';
import type { RawEvent } from './peers/raw-client';
import { closeRoom, enter, isRoomEvent, tell, tryToEnter } from './peers/room-guests';

export const roomContract: Contract = (nodeUnderTest) => {
  const open = (name: string, profile: Record<string, string> = {}): void =>
    void nodeUnderTest().answerer.rooms.set(name, { ...BASE_PROFILE, ...profile });
  const told = (room: string, action: string): RawEvent[] =>
    nodeUnderTest().client.events.filter((e) => isRoomEvent(e, room, action));
  const next = (room: string, action: string, also: (e: RawEvent) => boolean = () => true): Promise<RawEvent> =>
    nodeUnderTest().client.waitFor((e) => isRoomEvent(e, room, action) && also(e));
  const snapshot = async (room: string) => parseRooms(await tell(nodeUnderTest(), `${room} json_list`))[0]!;
  const questions = (room: string): Record<string, string>[] =>
    nodeUnderTest().answerer.forms.filter((f) => f.key_value === 'conference.conf' && f.conference_name === room);

  test('somebody enters: the profile is asked for, and the room, its member and its floor are told', async () => {
    open('enter');
    const { legId, entered } = await enter(nodeUnderTest(), 'enter');
    expect(questions('enter')).toEqual([
      expect.objectContaining({ profile_name: 'room', 'Fetch-Call-UUID': legId, hostname: 'contract-node' }),
    ]);
    expect(await next('enter', 'conference-create')).toMatchObject({
      'Conference-Size': '0',
      'Conference-Profile-Name': 'room',
      'Conference-Ghosts': '0',
    });
    expect(entered).toMatchObject({
      'Conference-Size': '1',
      'Conference-Unique-ID': told('enter', 'conference-create')[0]!['Conference-Unique-ID'],
      'Call-Direction': 'inbound',
      'Answer-State': 'answered',
      'Channel-State': 'CS_EXECUTE',
      'Caller-Destination-Number': 'room.enter',
      Video: 'false',
      Hear: 'true',
      See: 'true',
      Speak: 'true',
      Talking: 'false',
      Hold: 'false',
      'Member-Type': 'member',
      'Member-Ghost': 'false',
      'Energy-Level': '200',
    });
    expect(entered.variable_after_room).toBeUndefined();
    expect(await next('enter', 'floor-change')).toMatchObject({ 'Old-ID': 'none', 'New-ID': entered['Member-ID']! });
    const room = await snapshot('enter');
    expect(room).toMatchObject({ name: 'enter', locked: false, recordings: [] });
    expect(room.members).toEqual([
      expect.objectContaining({ memberId: Number(entered['Member-ID']), legId, muted: false, hasFloor: true }),
    ]);
    expect(parseRooms(await tell(nodeUnderTest(), 'json_list')).map((r) => r.name)).toContain('enter');
    await closeRoom(nodeUnderTest(), 'enter');
    expect(await tell(nodeUnderTest(), 'enter json_list')).toBe('-ERR Conference enter not found\n');
  });

  test('the profile is asked for by everybody who enters, and its answer can refuse: their plan goes on', async () => {
    open('asked');
    await enter(nodeUnderTest(), 'asked');
    await enter(nodeUnderTest(), 'asked');
    expect(questions('asked')).toHaveLength(2);
    nodeUnderTest().answerer.rooms.delete('asked');
    expect(await tryToEnter(nodeUnderTest(), 'asked')).toMatchObject({ 'Hangup-Cause': CAUSE_AFTER_ROOM });
    expect((await snapshot('asked')).members).toHaveLength(2);
    await closeRoom(nodeUnderTest(), 'asked');
    expect(await tryToEnter(nodeUnderTest(), 'never')).toMatchObject({ 'Hangup-Cause': CAUSE_AFTER_ROOM });
    expect(told('never', 'conference-create')).toEqual([]);
  });

  test.each([
    ['mute', 'unmute', 'Speak'],
    ['vmute', 'unvmute', 'See'],
    ['deaf', 'undeaf', 'Hear'],
  ])('%s and %s: said, told, and seen', async (off, on, header) => {
    open(off);
    const { memberId } = await enter(nodeUnderTest(), off);
    for (const [word, value] of [
      [off, 'false'],
      [on, 'true'],
    ] as const) {
      expect(await tell(nodeUnderTest(), `${off} ${word} ${memberId}`)).toBe(`+OK ${word} ${memberId}\n`);
      expect(await next(off, `${word}-member`)).toMatchObject({ [header]: value, 'Member-ID': String(memberId) });
      const [member] = (await snapshot(off)).members;
      if (header === 'Speak') expect(member!.muted).toBe(value === 'false');
      if (header === 'Hear') expect(member!.deaf).toBe(value === 'false');
    }
    await closeRoom(nodeUnderTest(), off);
  });

  test('flags are there from the first event, and moderators are left out of "non_moderator"', async () => {
    open('flags');
    const muted = await enter(nodeUnderTest(), 'flags', '.mute.deaf.vmute');
    expect(muted.entered).toMatchObject({ Speak: 'false', Hear: 'false', See: 'false' });
    const moderator = await enter(nodeUnderTest(), 'flags', '.moderator');
    expect(moderator.entered).toMatchObject({ 'Member-Type': 'moderator' });
    const third = await enter(nodeUnderTest(), 'flags');
    expect(await tell(nodeUnderTest(), 'flags mute non_moderator')).toBe(
      `+OK mute ${third.memberId}\nSkipping moderator (member id ${moderator.memberId}).\n+OK mute ${muted.memberId}\n`,
    );
    expect((await snapshot('flags')).members.map((m) => [m.memberId, m.muted, m.moderator])).toEqual([
      [third.memberId, true, false],
      [moderator.memberId, false, true],
      [muted.memberId, true, false],
    ]);
    await closeRoom(nodeUnderTest(), 'flags');
  });

  test.each([
    ['nowhere json_list', '-ERR Conference nowhere not found\n'],
    ['nowhere mute 1', '-ERR Conference nowhere not found\n'],
    ['words', "Conference command, not specified.\nTry 'help'\n"],
    ['words bogus', "-ERR Conference command 'bogus' not found.\n"],
    ['words mute 9999', '-ERR Non-Existant ID 9999\n'],
    ['words mute', 'mute <[member_id|all]|last|non_moderator> [<quiet>]'],
    ['words volume_in x', 'volume_in <member_id|all|last|non_moderator> [<newval>]'],
    ['words vid-layout 2x2', '-ERR Conference is not in mixing mode\n'],
    ['words vid-write-png x.png', '-ERR Conference is not in mixing mode\n'],
    ['words vid-fps 15', '-ERR Conference is not in mixing mode\n'],
    ['words vid-res 640x480', '-ERR Conference is not in mixing mode\n'],
    ['words vid-bandwidth 512kb', '-ERR Bandwidth not set\n'],
    ['words vid-res-id 9999 x', 'vid-res-id <member_id>|all <val>|clear [force]'],
    ['words clear-vid-floor', '+OK floor Cleared\n'],
    ['words get max_members', '0'],
    ['words get nothing', 'get <parameter-name>'],
    ['words get profile_name', 'room'],
    ['words get count', '1'],
    ['words count', '1'],
    ['words recording check', '-ERR Conference is not being recorded.\n'],
    ['words recording stop all', '+OK Stopped recording 0 files\n'],
    ['words recording pause x', "+OK Pause recording file x\n-ERR non-existant recording 'x'\n"],
    ['words transfer elsewhere 9999', '-ERR No Member 9999 in conference words.\n'],
    ['words stop all 9999', '-ERR Member: 9999 not found.\n'],
    ['words stop', '+OK Stopped 0 files.\n'],
    ['words play', 'play <file_path> [async|<member_id> [nomux]]'],
    ['words say hello', '-ERR (say) Error!\nsay <text>'],
    ['words saymember 9999 hello', '-ERR (saymember) Unknown Member 9999!\nsaymember <member_id> <text>'],
    ['words moh', '-ERR invalid moh param\n'],
    ['words enter_sound', '-ERR Not enough args\nenter_sound on|off|none|file <filename>'],
    ['words getvar nothing', '-ERR no reply\n'],
  ])('conference %s', async (line, answer) => {
    open('words');
    if ((await tell(nodeUnderTest(), 'words count')).startsWith('-ERR')) await enter(nodeUnderTest(), 'words');
    expect(await tell(nodeUnderTest(), line)).toBe(answer);
  });

  test('volume is kept within its limits, and told', async () => {
    open('volume');
    const { memberId } = await enter(nodeUnderTest(), 'volume');
    expect(await tell(nodeUnderTest(), `volume volume_in ${memberId} 9`)).toBe(`+OK Volume IN ${memberId} = 4\n`);
    expect(await next('volume', 'volume-in-member')).toMatchObject({ 'Volume-Level': '4' });
    expect(await tell(nodeUnderTest(), `volume volume_out ${memberId} -3`)).toBe(`+OK Volume OUT ${memberId} = -3\n`);
    expect((await snapshot('volume')).members[0]).toMatchObject({ volumeIn: 4, volumeOut: -3 });
    await closeRoom(nodeUnderTest(), 'volume');
  });

  test('a locked room refuses who comes from outside, unless the plan says that it was checked before', async () => {
    open('lock');
    await enter(nodeUnderTest(), 'lock');
    expect(await tell(nodeUnderTest(), 'lock lock')).toBe('+OK lock locked\n');
    expect(await next('lock', 'lock')).toMatchObject({ 'Conference-Size': '1' });
    expect((await snapshot('lock')).locked).toBe(true);
    expect(await tryToEnter(nodeUnderTest(), 'lock')).toMatchObject({ 'Hangup-Cause': CAUSE_AFTER_ROOM });
    expect(await tell(nodeUnderTest(), 'lock unlock')).toBe('+OK lock unlocked\n');
    await next('lock', 'unlock');
    await enter(nodeUnderTest(), 'lock');
    expect((await snapshot('lock')).members).toHaveLength(2);
    await closeRoom(nodeUnderTest(), 'lock');
  });

  test('a full room refuses, whether the profile or a command set the limit', async () => {
    open('full', { 'max-members': '2' });
    await enter(nodeUnderTest(), 'full');
    await enter(nodeUnderTest(), 'full');
    expect(await tryToEnter(nodeUnderTest(), 'full')).toMatchObject({ 'Hangup-Cause': CAUSE_AFTER_ROOM });
    expect(await tell(nodeUnderTest(), 'full set max_members 3')).toBe('2');
    await enter(nodeUnderTest(), 'full');
    expect(await tell(nodeUnderTest(), 'full get max_members')).toBe('3');
    expect((await snapshot('full')).members).toHaveLength(3);
    await closeRoom(nodeUnderTest(), 'full');
  });

  test('the floor goes to who speaks, is refused while somebody has it, and is given to the newest when it is free', async () => {
    open('floor');
    const silent = await enter(nodeUnderTest(), 'floor');
    await next('floor', 'floor-change', (e) => e['New-ID'] === String(silent.memberId));
    const speaker = await enter(nodeUnderTest(), 'floor', '', true);
    expect(await next('floor', 'start-talking')).toMatchObject({
      'Member-ID': String(speaker.memberId),
      Talking: 'true',
    });
    expect(await next('floor', 'floor-change', (e) => e['New-ID'] === String(speaker.memberId))).toMatchObject({
      'Old-ID': String(silent.memberId),
      Floor: 'true',
      'Unique-ID': speaker.legId,
    });
    expect((await snapshot('floor')).members.find((m) => m.hasFloor)).toMatchObject({
      legId: speaker.legId,
      talking: true,
    });
    expect(await tell(nodeUnderTest(), `floor floor ${silent.memberId}`)).toBe(
      `-ERR floor is held by ${speaker.memberId}\n`,
    );
    expect(await tell(nodeUnderTest(), `floor vid-floor ${silent.memberId} force`)).toBe('-ERR no reply\n');
    await nodeUnderTest().client.send(`api uuid_kill ${speaker.outside}`);
    await next('floor', 'floor-change', (e) => e['New-ID'] === 'none');
    expect(await next('floor', 'del-member')).toMatchObject({ 'Conference-Size': '1', 'Unique-ID': speaker.legId });
    await next(
      'floor',
      'floor-change',
      (e) =>
        e['Old-ID'] === 'none' && e['New-ID'] === String(silent.memberId) && e !== told('floor', 'floor-change')[0],
    );
    expect(await tell(nodeUnderTest(), `floor floor ${silent.memberId}`)).toBe('+OK floor none\n');
    await closeRoom(nodeUnderTest(), 'floor');
  });

  test.each(['kick', 'hup'])('%s ends the stay, and the channel goes on with its plan', async (word) => {
    open(word);
    const stays = await enter(nodeUnderTest(), word);
    const goes = await enter(nodeUnderTest(), word);
    expect(await tell(nodeUnderTest(), `${word} ${word} ${goes.memberId}`)).toBe(
      `+OK ${word === 'kick' ? 'kicked' : 'hup'} ${goes.memberId}\n`,
    );
    expect(await next(word, `${word}-member`)).toMatchObject({ 'Conference-Size': '2', 'Unique-ID': goes.legId });
    expect(await next(word, 'del-member')).toMatchObject({ 'Conference-Size': '1', 'Unique-ID': goes.legId });
    const end = await nodeUnderTest().client.waitFor(
      (e) => e['Event-Name'] === 'CHANNEL_HANGUP_COMPLETE' && e['Unique-ID'] === goes.legId,
    );
    expect(end).toMatchObject({ 'Hangup-Cause': CAUSE_AFTER_ROOM, variable_after_room: 'yes' });
    expect((await snapshot(word)).members.map((m) => m.legId)).toEqual([stays.legId]);
    await closeRoom(nodeUnderTest(), word);
  });

  test('when who holds the room together leaves, it ends and everybody is hung up', async () => {
    open('ends');
    const guest = await enter(nodeUnderTest(), 'ends');
    const host = await enter(nodeUnderTest(), 'ends', '.moderator.endconf');
    await nodeUnderTest().client.send(`api uuid_kill ${host.outside}`);
    const end = await nodeUnderTest().client.waitFor(
      (e) => e['Event-Name'] === 'CHANNEL_HANGUP_COMPLETE' && e['Unique-ID'] === guest.legId,
    );
    expect(end['Hangup-Cause']).toBe('NORMAL_CLEARING');
    await next('ends', 'conference-destroy');
    const order = nodeUnderTest()
      .client.events.filter((e) => e['Conference-Name'] === 'ends')
      .map((e) => e.Action);
    expect(order.slice(-1)).toEqual(['conference-destroy']);
    expect(told('ends', 'del-member').map((e) => e['Conference-Size'])).toEqual(['1', '0']);
  });

  test('a room waits for its moderator, and says so', async () => {
    open('waits', { 'conference-flags': 'wait-mod' });
    await enter(nodeUnderTest(), 'waits');
    expect(await tell(nodeUnderTest(), 'waits get wait_mod')).toBe('true');
    await enter(nodeUnderTest(), 'waits', '.moderator');
    expect(await tell(nodeUnderTest(), 'waits get wait_mod')).toBe('-ERR no reply\n');
    await closeRoom(nodeUnderTest(), 'waits');
  });

  test('one who may only join makes no room', async () => {
    open('join');
    await nodeUnderTest().client.send('bgapi originate loopback/room.join.join-only/users &park()');
    const refused = await nodeUnderTest().client.waitFor((e) => isRoomEvent(e, 'join', 'rejected-join-only'));
    const end = await nodeUnderTest().client.waitFor(
      (e) => e['Event-Name'] === 'CHANNEL_HANGUP_COMPLETE' && e['Unique-ID'] === refused['Unique-ID'],
    );
    expect(end['Hangup-Cause']).toBe('NORMAL_CLEARING');
    expect(told('join', 'conference-create')).toEqual([]);
  });

  test('somebody is moved to another room, and keeps their number', async () => {
    open('from');
    open('into');
    const stays = await enter(nodeUnderTest(), 'from');
    const goes = await enter(nodeUnderTest(), 'from');
    expect(await tell(nodeUnderTest(), `from transfer into@room ${goes.memberId}`)).toBe(
      `+OK Member '${goes.memberId}' sent to conference into@room.\n`,
    );
    expect(await next('from', 'transfer')).toMatchObject({
      'Old-Conference-Name': 'from',
      'New-Conference-Name': 'into@room',
    });
    expect(await next('into', 'add-member')).toMatchObject({
      'Unique-ID': goes.legId,
      'Member-ID': String(goes.memberId),
    });
    expect((await snapshot('from')).members.map((m) => m.legId)).toEqual([stays.legId]);
    await closeRoom(nodeUnderTest(), 'from');
    await closeRoom(nodeUnderTest(), 'into');
  });

  test('a channel that is sent into its plan again leaves and comes back', async () => {
    open('again');
    const { legId, memberId } = await enter(nodeUnderTest(), 'again');
    await nodeUnderTest().client.send(`api uuid_transfer ${legId} room.again.moderator XML users`);
    await next('again', 'del-member');
    const back = await next('again', 'add-member', (e) => e['Member-Type'] === 'moderator');
    expect(back).toMatchObject({ 'Unique-ID': legId, 'Member-ID': String(memberId) });
    await closeRoom(nodeUnderTest(), 'again');
  });

  test('keys are taken into a variable, up to the terminator', async () => {
    await nodeUnderTest().client.send('bgapi originate {origination_uuid=keys}loopback/pin.1/users &park()');
    await nodeUnderTest().client.waitFor((e) => e['Event-Name'] === 'CHANNEL_ANSWER' && e['Unique-ID'] === 'keys');
    await nodeUnderTest().client.send('api uuid_send_dtmf keys 1234#');
    const end = await nodeUnderTest().client.waitFor(
      (e) => e['Event-Name'] === 'CHANNEL_HANGUP_COMPLETE' && e['Channel-Name'] === 'loopback/pin.1-b',
    );
    expect(end).toMatchObject({ variable_pressed: '1234', variable_read_result: 'success' });
  });
};
