/** What the wire contract asks of a media node, so that the same tests run against a real one and a simulated one. */
import type { PhoneBehaviour } from '../../scripts/sip-phone/incoming';

/** How a phone takes calls; answers after 100 ms where nothing is said. */
export type { PhoneBehaviour };

export interface ContractPhone {
  /** @returns the SIP status of the last answer: 200 or 403 */
  register(expiresSeconds?: number): Promise<number>;
  unregister(): Promise<number>;
  close(): void;
}

/** One running media node that asks the given XML address for everything. */
export interface MediaNode {
  kind: 'real' | 'simulated';
  eslPort: number;
  /** Where it may write. */
  folder: string;
  openPhone(o: {
    username: string;
    domain: string;
    password: string;
    behaviour: PhoneBehaviour;
  }): Promise<ContractPhone>;
  stop(): Promise<void>;
}

/** Starts the node and resolves when its Event Socket answers. */
export type StartMediaNode = (o: {
  name: string;
  xmlUrl: string;
  password: string;
  ports: NodePorts;
}) => Promise<MediaNode>;

export interface NodePorts {
  esl: number;
  sip: number;
  internode: number;
  ws: number;
  rtpFrom: number;
  rtpTo: number;
}
