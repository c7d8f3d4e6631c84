/** modesl ships no types: these are the few things transport.ts touches. */
declare module 'modesl' {
  import type { Socket } from 'node:net';
  export class Connection {
    constructor(host: string, port: number, password: string);
    socket: Socket | null;
    protected _onConnect(): void;
    protected _onError(error: Error): void;
  }
}
