/** Ends a server as a proxy before it likes it: nothing new is taken, what was asked is answered, streams end, and then it is over. */
import type { Server, ServerResponse } from 'node:http';

/** What takes longer than this is cut off: a recording on its way is sent again. */
const ANSWERED_WITHIN_MS = 5000;
const LOOK_MS = 20;

const isStream = (response: ServerResponse): boolean =>
  String(response.getHeader('content-type') ?? '').startsWith('text/event-stream');

/** Before the server listens. @returns what ends it, and is done when nothing of it is left */
export function followAnswers(server: Server, answeredWithinMs = ANSWERED_WITHIN_MS): () => Promise<void> {
  const open = new Set<ServerResponse>();
  let isEnding = false;
  const sayLast = (response: ServerResponse): void => {
    if (!response.headersSent) response.setHeader('connection', 'close');
  };
  // Before the app, which may answer at once.
  server.prependListener('request', (_request, response: ServerResponse) => {
    open.add(response);
    response.once('close', () => open.delete(response));
    if (isEnding) sayLast(response);
  });
  return () =>
    new Promise<void>((resolve) => {
      isEnding = true;
      const check = setInterval(() => {
        for (const response of open) if (isStream(response)) response.end();
        server.closeIdleConnections(); // also those that have just had their answer
      }, LOOK_MS);
      const late = setTimeout(() => server.closeAllConnections(), answeredWithinMs);
      server.close(() => {
        clearInterval(check);
        clearTimeout(late);
        resolve();
      });
      for (const response of open) sayLast(response);
    });
}
