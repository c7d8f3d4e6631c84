/** Takes a node's report within what a report can say: they are written together, and one that does not fit would take all others with it. */

export interface ReportedFigures {
  sessionCount: number;
  maxSessions: number;
  idleCpuPercent: number;
  version: string | null;
}

const MOST_SESSIONS = 1_000_000;
const VERSION_LENGTH = 64;

const within = (value: number, most: number): number =>
  Number.isFinite(value) ? Math.min(Math.max(value, 0), most) : 0;

export function boundReport(told: ReportedFigures): ReportedFigures {
  const version = told.version?.replace(/[^\x20-\x7e]/g, '').slice(0, VERSION_LENGTH);
  return {
    sessionCount: Math.floor(within(told.sessionCount, MOST_SESSIONS)),
    maxSessions: Math.floor(within(told.maxSessions, MOST_SESSIONS)),
    idleCpuPercent: within(told.idleCpuPercent, 100),
    version: version || null,
  };
}
