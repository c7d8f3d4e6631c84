/** What the looks at a node's channels remember from one to the next: since when each is alone, and what was told already. */

export interface ChannelMemory {
  /** @returns for how long the channel was seen alone; 0 where it is not now, or for the first time */
  sawAlone(legId: string, isAlone: boolean, nowMs: number): number;
  /** @returns whether this is the first time */
  tellOnce(legId: string): boolean;
  /** Forgets all channels but these. */
  keep(legIds: ReadonlySet<string>): void;
}

function createChannelMemory(): ChannelMemory {
  const aloneSince = new Map<string, number>();
  const told = new Set<string>();
  return {
    sawAlone(legId, isAlone, nowMs) {
      if (!isAlone) {
        aloneSince.delete(legId);
        return 0;
      }
      const since = aloneSince.get(legId) ?? nowMs;
      aloneSince.set(legId, since);
      return nowMs - since;
    },
    tellOnce(legId) {
      if (told.has(legId)) return false;
      told.add(legId);
      return true;
    },
    keep(legIds) {
      for (const id of aloneSince.keys()) if (!legIds.has(id)) aloneSince.delete(id);
      for (const id of told) if (!legIds.has(id)) told.delete(id);
    },
  };
}

/** One for each node that this replica looks after. */
export interface ChannelMemories {
  of(nodeId: string): ChannelMemory;
  forget(nodeId: string): void;
}

export function createChannelMemories(): ChannelMemories {
  const memories = new Map<string, ChannelMemory>();
  return {
    of(nodeId) {
      let memory = memories.get(nodeId);
      if (!memory) memories.set(nodeId, (memory = createChannelMemory()));
      return memory;
    },
    forget: (nodeId) => void memories.delete(nodeId),
  };
}
