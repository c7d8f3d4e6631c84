/** The door of this room: what a node may ask, and every answer it can get. */
export { callerNameText, isPlainValue } from './escape';
export { contactToDial, type ContactSource } from './contact';
export { findAll, parseDocument, type Element } from './document';
export * from './requests';
export { proofMark, provesPassword } from './login-proof';
export {
  CALL_HEADER_VARIABLE,
  dialStringTo,
  GRANT_VARIABLE,
  NOT_REGISTERED,
  notFoundXml,
  USER_VARIABLE,
  userXml,
  type DialStringOptions,
  type ReachableContact,
  type UserAnswer,
} from './directory';
export {
  ATTEMPT_VARIABLE,
  PROOF_VARIABLE,
  readCallOfPlan,
  bridgeToUserPlan,
  dialplanXml,
  echoPlan,
  internodeDeliveryPlan,
  refusePlan,
  withFixedMedia,
  withProof,
  type CallVariables,
} from './dialplan';
export { CANARY_STEPS, CANARY_VARIABLE, canaryPlan, canaryRoom } from './canary';
export {
  CONFIGURATION_NAMES,
  configurationXml,
  controlNetworks,
  MARKED_ADDRESS,
  markLists,
  type NodeSettings,
} from './configuration';
export { kindOfOffer, withMediaTimeout, type MediaTimeouts } from './media-timeout';
export { playable, ROOM_BASE, type ProfileParams, type RoomConfiguration } from './configuration/conference';
export {
  GROUPS,
  LAYOUTS,
  layoutsConfName,
  imageFile,
  WELCOME_LAYOUT,
  type CustomLayout,
  type LayoutPlace,
} from './configuration/layouts';
export {
  askPinPlan,
  bridgeToRoomPlan,
  enterRoomPlan,
  PIN_SILENT_VARIABLE,
  PIN_TRIES_VARIABLE,
  PIN_VARIABLE,
  SECRET_VARIABLES,
  ROOM_EXTENSION,
  ROOM_PROOF_VARIABLE,
  turnAwayPlan,
} from './room';
