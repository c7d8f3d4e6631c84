/** The PINs of a room at rest: each sealed for its room and for what it opens, so that one can't be put in the other's place. */
import { decryptSecret, encryptSecret } from '../../../infra/secrets';
import type { RoomRow } from '../rooms.store';

type PinPurpose = 'room-pin' | 'moderator-pin';

export const sealPin = (secretKey: Buffer, purpose: PinPurpose, roomId: string, pin: string | null): string | null =>
  pin === null ? null : encryptSecret(secretKey, { purpose, of: roomId }, pin);

/** @throws Error where no secret that is known here has sealed them */
export function openPins(
  secretKey: Buffer,
  room: Pick<RoomRow, 'id' | 'pin_sealed' | 'moderator_pin_sealed'>,
): { pin: string | null; moderatorPin: string | null } {
  const unseal = (purpose: PinPurpose, sealed: string | null) =>
    sealed === null ? null : decryptSecret(secretKey, { purpose, of: room.id }, sealed);
  return {
    pin: unseal('room-pin', room.pin_sealed),
    moderatorPin: unseal('moderator-pin', room.moderator_pin_sealed),
  };
}
