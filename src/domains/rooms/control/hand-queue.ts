/** Who is next: the queue of raised hands, and who gets the floor when it goes round; pure. */
import type { ParticipantRow } from '../participants/participants.store';

/** Those whose hands are up, in the order they went up. */
export function listHands(people: readonly ParticipantRow[]): ParticipantRow[] {
  return people
    .filter((p) => p.hand_raised_at !== null && p.state !== 'left')
    .sort((a, b) => a.hand_raised_at!.getTime() - b.hand_raised_at!.getTime() || (a.id < b.id ? -1 : 1));
}

/** The first of the queue who is in the room now; one who is away keeps their place. */
export function nextHand(people: readonly ParticipantRow[]): ParticipantRow | undefined {
  return listHands(people).find((p) => p.state === 'in');
}
