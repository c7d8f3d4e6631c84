/** The door of this room: what a node may ask, and every answer it can get. */
export { callerNameText, escapeText, isAddressPart, isPlainValue } from './escape';
export { contactToDial, type ContactSource } from './contact';
export { findAll, parseDocument, type Element } from './document';
export * from './requests';
export { proofMark, provesPassword, type LoginProof } from './login-proof';
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
  refusalCause,
  refusePlan,
  withFixedMedia,
  withProof,
  type Action,
  type BridgeToUser,
  type CallVariables,
  type InternodeDelivery,
  type RefusalStatus,
} from './dialplan';
export {
  CANARY_CONTEXT,
  CANARY_STEPS,
  CANARY_VARIABLE,
  canaryPlan,
  canaryRoom,
  type CanaryPlan,
  type CanaryStep,
} from './canary';
export {
  CONFIGURATION_NAMES,
  configurationXml,
  controlNetworks,
  MARKED_ADDRESS,
  markLists,
  type NodeSettings,
} from './configuration';
export { kindOfOffer, kindOfTransport, withMediaTimeout, type MediaTimeouts, type PhoneKind } from './media-timeout';
export {
  playable,
  ROOM_BASE,
  type ProfileParams,
  type RoomConfiguration,
  type RoomTone,
} from './configuration/conference';
export {
  GROUPS,
  LAYOUTS,
  layoutsConfName,
  pictureFile,
  WELCOME_LAYOUT,
  type CustomLayout,
  type LayoutPlace,
} from './configuration/layouts';
export { CODECS } from './configuration/sofia';
export {
  askPinPlan,
  bridgeToRoomPlan,
  enterRoomPlan,
  PIN_SILENT_VARIABLE,
  PIN_TRIES_VARIABLE,
  PIN_VARIABLE,
  SECRET_VARIABLES,
  ROOM_EXTENSION,
  ROOM_PROFILE,
  ROOM_PROOF_VARIABLE,
  turnAwayPlan,
  type AskPin,
  type BridgeToRoom,
  type EnterRoom,
} from './room';
