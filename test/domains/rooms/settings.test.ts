import { sessionUnits, weigh } from '../../../src/domains/rooms/sessions/session-units';
import { planLiveChanges } from '../../../src/domains/rooms/control/apply-settings';
import { roomProfile } from '../../../src/domains/rooms/sessions/profile';
import {
  changedSettings,
  DEFAULT_SETTINGS,
  mergeSettings,
  readSettings,
  type SettingsPatch,
} from '../../../src/domains/rooms/settings';
import { configurationXml, findAll, parseDocument, parseXmlRequest } from '../../../src/freeswitch/xml';

const SESSION = '01a1ff05-65d1-772d-b6fc-9596a3daeedd';
const settings = (patch: SettingsPatch = {}) => mergeSettings(DEFAULT_SETTINGS, patch);
const profile = (patch: SettingsPatch, layout: string | null = null) =>
  roomProfile(settings(patch), { id: SESSION, layout });

describe('What is stored', () => {
  test('is read with the defaults for what is not there, and for what is no setting any more', () => {
    const stored = { video: { fps: 10, width: 'wide', codec: 'x' }, layout: '${x}', colour: 'red', record: true };
    expect(readSettings(stored)).toEqual(settings({ video: { fps: 10 }, record: true }));
    expect(readSettings({})).toEqual(DEFAULT_SETTINGS);
    readSettings({ video: { fps: 10 } });
    expect(DEFAULT_SETTINGS.video.fps).toBe(25);
  });

  test('is different in the fields that differ, by their dotted names', () => {
    const after = settings({ video: { fps: 10 }, sounds: { exit: 'none' }, locked: true });
    expect(changedSettings(DEFAULT_SETTINGS, after)).toEqual(['video.fps', 'locked', 'sounds.exit']);
  });
});

describe('A session', () => {
  test('takes capacity by its canvas and frame rate, and little for sound alone', () => {
    const units = (video: SettingsPatch['video']) => sessionUnits(settings({ video }), []);
    const seen = (hasVideo: boolean, count: number) =>
      Array.from({ length: count }, () => ({ observed: { hasVideo } }));
    expect(sessionUnits(settings({ audioOnly: true }), [])).toBe(1);
    expect(units({ mode: 'passthrough' })).toBe(1);
    expect(units({ width: 320, height: 180, fps: 10 })).toBe(2);
    expect(units({})).toBe(18);
    expect(sessionUnits(settings(), [...seen(true, 3), ...seen(false, 1)])).toBe(18 + 3 * 6 + 1);
    expect(sessionUnits(settings({ audioOnly: true }), seen(true, 20))).toBe(21);
    expect(units({ width: 1920, height: 1080, fps: 30 })).toBeGreaterThan(units({ width: 1920, height: 1080 }));
  });

  test('holds one unit while nobody is in it or on the way, and after a move what it held, until all are back', () => {
    const session = { state: 'opening', settings: settings(), units: '60', isMoved: false, openedAtMs: 0 };
    expect(weigh(session, [], 1000)).toBe(1);
    expect(weigh(session, [{ observed: {} }], 1000)).toBe(24);
    const moved = { ...session, isMoved: true, state: 'live' };
    expect(weigh(moved, [{ observed: { hasVideo: true } }], 19_000)).toBe(60);
    expect(weigh(moved, [{ observed: { hasVideo: true } }], 21_000)).toBe(24);
  });
});

describe('The profile of a room', () => {
  test('says how its video is mixed', () => {
    expect(
      profile({ layout: '3x3', video: { width: 640, height: 360, fps: 12, maxKbps: 700 } }, 'group:grid'),
    ).toMatchObject({
      'video-mode': 'mux',
      'video-layout-name': 'group:grid',
      'video-layout-conf': `conference_layouts.${SESSION}`,
      'video-canvas-size': '640x360',
      'video-fps': 12,
      'video-codec-bandwidth': '700kb',
    });
    expect(profile({ layout: '3x3' })['video-layout-name']).toBe('3x3');
  });

  test('mixes nothing where images are passed through or not wanted', () => {
    for (const patch of [{ audioOnly: true }, { video: { mode: 'passthrough' as const } }]) {
      expect(profile(patch)['video-mode']).toBe('passthrough');
      expect(Object.keys(profile(patch)).filter((name) => name.startsWith('video-'))).toEqual(['video-mode']);
    }
  });

  test('plays tones only, never a file, and waits for the moderator where it should', () => {
    const params = profile({ sounds: { entry: 'none', exit: 'knock' }, waitForModerator: true });
    expect(params).not.toHaveProperty('enter-sound');
    expect(params['conference-flags']).toContain('wait-mod');
    for (const name of ['exit-sound', 'alone-sound', 'moh-sound']) {
      expect(params[name]).toMatch(/^(tone|silence)_stream:\/\//);
    }
    expect(profile({ musicWhileAlone: false })).not.toHaveProperty('moh-sound');
    expect(profile({})['conference-flags']).not.toContain('wait-mod');
  });

  test('holds no PIN and asks for no keys', () => {
    const names = Object.keys(profile({}));
    expect(names.filter((name) => /pin/.test(name))).toEqual([]);
    expect(profile({})).toMatchObject({ 'caller-controls': 'none', 'moderator-controls': 'none' });
  });
});

describe('A node', () => {
  const node = { name: 'n', poolHosts: [] } as unknown as Parameters<typeof configurationXml>[1];
  const layouts = [
    { name: 'own', places: [{ x: 1, y: 2, scale: 3, 'floor-only': true as const }], placesSound: false },
  ];

  test('is told of the room it asks for, in one profile', () => {
    const root = parseDocument(configurationXml('conference.conf', node, { profile: profile({}) })!);
    expect(findAll(root, 'profile').map((p) => p.attributes?.name)).toEqual(['room']);
    const plain = parseDocument(configurationXml('conference.conf', node)!);
    expect(findAll(plain, 'profile').map((p) => p.attributes?.name)).toEqual(['default']);
  });

  test('gets the layouts of a room by the name its profile gives them', () => {
    const name = String(profile({})['video-layout-conf']);
    const asked = parseXmlRequest({ section: 'configuration', key_name: 'name', key_value: name });
    expect(asked).toMatchObject({ kind: 'configuration', name, conferenceName: SESSION });
    const root = parseDocument(configurationXml(name, node, { profile: {}, layouts })!);
    expect(findAll(root, 'configuration')[0]?.attributes?.name).toBe(name);
    const own = findAll(root, 'layout').find((l) => l.attributes?.name === 'own');
    expect(own?.children?.map((image) => image.attributes)).toEqual([
      { x: '1', y: '2', scale: '3', 'floor-only': 'true' },
    ]);
    expect(findAll(root, 'layout').some((l) => l.attributes?.name === '3x3')).toBe(true);
  });
});

describe('A running room', () => {
  const plan = (before: SettingsPatch, after: SettingsPatch) => {
    const [running, wanted] = [settings(before), settings(after)];
    const { changes, pending } = planLiveChanges(SESSION, running, wanted, changedSettings(running, wanted));
    return { lines: changes.flatMap((c) => c.commands.map(({ line }) => line.replace(SESSION, 'X'))), pending };
  };

  test('is given what FreeSWITCH can change, once for width and height together', () => {
    expect(plan({}, { video: { width: 640, height: 360 }, locked: true })).toEqual({
      lines: ['conference X lock', 'conference X vid-res 640x360'],
      pending: [],
    });
    expect(plan({}, { sounds: { entry: 'none' } }).lines).toEqual(['conference X enter_sound off']);
    expect(plan({ sounds: { exit: 'none' } }, {}).lines).toEqual([
      expect.stringMatching(/^conference X exit_sound file tone_stream:\/\/\S+$/),
      'conference X exit_sound on',
    ]);
  });

  test('waits with what only a new one has', () => {
    const { lines, pending } = plan({}, { waitForModerator: true, record: true, background: { color: '#000000' } });
    expect([lines, pending]).toEqual([[], ['waitForModerator', 'record', 'background.color']]);
  });

  test('needs nothing for what is looked at when somebody enters', () => {
    const patch = { maxParticipants: 3, mutedOnEntry: true, endWithModerator: true, video: { participantKbps: 300 } };
    expect(plan({}, patch)).toEqual({ lines: [], pending: [] });
  });

  test('gets no video commands where it mixes no video', () => {
    expect(plan({ audioOnly: true }, { audioOnly: true, layout: '2x2' })).toEqual({ lines: [], pending: ['layout'] });
  });
});
