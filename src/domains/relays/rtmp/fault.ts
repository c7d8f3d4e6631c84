/** Why a connection is given up that does not keep to RTMP, or asks for more than anybody needs. */

/** Its message is plain words without addresses or keys: it may be shown. */
export class RtmpFault extends Error {}
