/** Finds names in the environment that somebody meant for us and misspelt: what is not known has no effect, and says nothing. */

/** What has our prefix and is read elsewhere: by nodes, by `scripts/pool`, by what starts them. */
const READ_ELSEWHERE = [
  'SWITCHYARD_URL',
  'SWITCHYARD_NODES_URL',
  'SWITCHYARD_API_KEY',
  'SWITCHYARD_POOL_HOOK',
  'SWITCHYARD_POOL_COMPOSE',
  'SWITCHYARD_XML_URL',
  'SWITCHYARD_XML_URL_2',
  'SWITCHYARD_XML_BASE_URL',
  'SWITCHYARD_NODE_NAME',
  'SWITCHYARD_NODE_PASSWORD',
  'SWITCHYARD_HEARTBEAT_SECONDS',
  'SWITCHYARD_RTP_FROM',
  'SWITCHYARD_RTP_TO',
  'SWITCHYARD_MAX_SESSIONS',
  'SWITCHYARD_SESSIONS_PER_SECOND',
  'SWITCHYARD_LOG_LEVEL',
  'SWITCHYARD_CA_FILE',
] as const;

/** What others commonly set, or `start` and compose read, though a letter makes it one of ours. */
const NOT_OURS = [
  'HTTPS_PORT',
  'HTTPS_HOST',
  'NODE_HOST',
  'NODE_PORT',
  'REDIS_PORT',
  'TURN_PORT',
  'RTMP_PORT',
] as const;

/** Kubernetes tells each container of the Services beside it: SWITCHYARD_NODES_SERVICE_HOST, SWITCHYARD_PORT_8080_TCP … */
const OF_A_SERVICE = /_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)$/;
const PREFIX = 'SWITCHYARD_';

/** Shorter names may differ by one letter, longer ones by two. */
const mostLetters = (name: string): number => (name.length < 12 ? 1 : 2);

/** Letters to add, take out, change, or swap with the next one, to make the one text the other. */
export function lettersBetween(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next[j] = Math.min(change, row[j]! + 1, next[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        next[j] = Math.min(next[j]!, before[j - 2]! + 1);
    }
    before = row;
    row = next;
  }
  return row[b.length]!;
}

function findNearest(name: string, known: readonly string[]): { name: string; letters: number } | undefined {
  return known
    .map((one) => ({ name: one, letters: Math.abs(one.length - name.length) > 2 ? 99 : lettersBetween(name, one) }))
    .sort((a, b) => a.letters - b.letters)[0];
}

/**
 * @param given the names that are set @param known our settings
 * @returns a fault for each name with our prefix that is nobody's, and each that is a setting of ours but for a letter or
 *   two: not where that setting is set as well, since then the other is somebody else's
 */
export function findMisspelt(given: readonly string[], known: readonly string[]): string[] {
  const ours = new Set<string>(known);
  const left = new Set<string>([...known, ...READ_ELSEWHERE, ...NOT_OURS]);
  const set = new Set(given);
  return given.flatMap((name) => {
    if (left.has(name) || OF_A_SERVICE.test(name)) return [];
    const hasPrefix = name.startsWith(PREFIX);
    const nearest = findNearest(name, hasPrefix ? [...known, ...READ_ELSEWHERE] : known);
    const isNear = nearest !== undefined && nearest.letters <= mostLetters(name);
    if (hasPrefix) return [`${name}: is no setting${isNear ? `; did you mean ${nearest.name}?` : ''}`];
    if (!isNear || (ours.has(nearest.name) && set.has(nearest.name))) return [];
    return [`${name}: is no setting; did you mean ${nearest.name}?`];
  });
}
