/** Corrects what a node says it can carry by what its machine reports: pure, smoothed, and within bounds. */
import { EFFECTIVE_CAPACITY } from '../limits';

export interface CapacityReport {
  /** What the node says of itself. */
  nominalUnits: number;
  /** What was held to be true before; null before the first report. */
  effectiveUnits: number | null;
  claimedUnits: number;
  /** Of the whole machine, as FreeSWITCH reports it. */
  idleCpuPercent: number;
  /** Since the report before this; null where there was none. */
  elapsedMs: number | null;
}

/**
 * What the report alone says: the nominal capacity, less or more by how much busier or idler the machine is than the
 * claims let expect. So a machine that is busy with something else has less capacity, however little is claimed.
 */
export function estimateEffectiveCapacity(report: CapacityReport): number {
  const { fullCpuShare, toleranceShare, leastShare, mostShare, proofShare } = EFFECTIVE_CAPACITY;
  const nominal = report.nominalUnits;
  const usedShare = 1 - Math.min(100, Math.max(0, report.idleCpuPercent)) / 100;
  const difference = (fullCpuShare * report.claimedUnits) / nominal - usedShare;
  const spare = Math.sign(difference) * Math.max(0, Math.abs(difference) - toleranceShare);
  const proven = report.claimedUnits >= proofShare * nominal;
  const most = nominal * (proven ? mostShare : 1);
  return Math.min(most, Math.max(nominal * leastShare, nominal + (nominal * spare) / fullCpuShare));
}

/** @returns the effective capacity in units, in thousandths; always from 0.25 to 1.5 of the nominal one. */
export function updateEffectiveCapacity(report: CapacityReport): number {
  const { leastShare, mostShare, downMs, upMs } = EFFECTIVE_CAPACITY;
  const nominal = report.nominalUnits;
  // The node may have been given another size in the meantime: what was true of the old one is kept within the new bounds.
  const before = Math.min(nominal * mostShare, Math.max(nominal * leastShare, report.effectiveUnits ?? nominal));
  const estimate = estimateEffectiveCapacity(report);
  const elapsedMs = Math.max(0, report.elapsedMs ?? 0);
  const weight = 1 - Math.exp(-elapsedMs / (estimate < before ? downMs : upMs));
  return Math.round((before + weight * (estimate - before)) * 1000) / 1000;
}
