/** What a simulated phone is told to do; channels know it of whoever holds their other end. */

/** How a phone takes calls; it answers after 100 ms where nothing is said. */
export interface PhoneBehaviour {
  answerAfterMs?: number;
  busy?: boolean;
  reject?: boolean;
  ringOnly?: boolean;
  /** Says no by a SIP status of its own, as 503: it is there. */
  status?: number;
  /** Is there no more: its socket is closed (`refused`), or nothing comes back at all. */
  gone?: 'refused' | 'silent';
  /** Hangs up this long after it answered. */
  hangupAfterMs?: number;
  /** This long after it answered nothing more is heard of it: it was killed, and says goodbye to nobody. */
  diesAfterMs?: number;
  /** Speaks all the time, or in turns. */
  talks?: true | { forMs: number; pauseMs: number };
  /** Has a camera. */
  video?: boolean;
  /** What is pressed when keys are asked for, one entry each time. */
  digits?: string[];
  /** How well it is heard by the node. */
  quality?: { lossPercent?: number; jitterMs?: number; mos?: number };
}
