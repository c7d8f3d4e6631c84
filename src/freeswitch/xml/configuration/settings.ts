/** What distinguishes one node from the next: everything a configuration answer is made from. */
export interface NodeSettings {
  name: string;
  /** Where other nodes and Switchyard reach it. */
  host: string;
  eslPort: number;
  eslPassword: string;
  sipPort: number;
  internodePort: number;
  wsPort: number;
  /** For browsers of https pages, with the certificate `wss.pem` in the node's folder of certificates. */
  wssPort?: number;
  /** Its address as phones and browsers see it, where that is not `host`. */
  publicHost?: string;
  rtpFrom: number;
  rtpTo: number;
  heartbeatSeconds: number;
  cdrUrl: string;
  /** `user:password` for the CDR endpoint. */
  cdrCredentials: string;
  /** Every node of the pool, this one too: only they may use the internode profile. */
  poolHosts: string[];
  /** From where Switchyard connects to the Event Socket, besides the loopback; left out: loopback only. */
  controlHosts?: string[];
  /** What the Event Socket of its process was told (controlNetworks); left out: a list's name, or not known yet. */
  eslNetworks?: string;
  /** By which it is known that a node has these lists (markLists). */
  listsMark?: string;
  zone?: string;
  /** Says 503 to all that phones and browsers begin again, so that they go to another node. */
  refusesPhones?: boolean;
}
