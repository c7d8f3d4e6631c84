/** Follows Server-Sent Events with a grant's token, as a page does. */

export interface Followed {
  readonly got: { type: string; data: Record<string, unknown> }[];
  isOpen(): boolean;
  close(): void;
}

export function followEvents(url: string, token: string, types: string): Followed {
  const stop = new AbortController();
  const got: Followed['got'] = [];
  let open = false;
  const read = async (): Promise<void> => {
    const answer = await fetch(`${url}/v1/events?types=${types}`, {
      headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' },
      signal: stop.signal,
    });
    open = answer.ok;
    let rest = '';
    const decoder = new TextDecoder();
    for await (const chunk of answer.body!) {
      rest += decoder.decode(chunk as Uint8Array, { stream: true });
      for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
        const data = /^data: (.*)$/m.exec(rest.slice(0, end))?.[1];
        if (data) got.push(JSON.parse(data) as Followed['got'][number]);
        rest = rest.slice(end + 2);
      }
    }
  };
  read().catch(() => (open = false));
  return { got, isOpen: () => open, close: () => stop.abort() };
}
