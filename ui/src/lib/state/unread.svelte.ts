/** How many messages each connection received since it was last looked at. In: counters. Never stores anything. */
import type { ConnectionStatus } from "$lib/backend/types/ConnectionStatus";
import type { ProfileId } from "$lib/backend/types/ProfileId";
import { engine } from "./engine.svelte";

class Unread {
  #seen = $state.raw<ReadonlyMap<ProfileId, number>>(new Map());

  of(id: ProfileId): number {
    const received = engine.connections.get(id)?.counters.received ?? 0;
    const seen = this.#seen.get(id);
    return seen === undefined ? 0 : Math.max(0, received - seen);
  }

  /** Takes new counters: those of the connection in view count as seen, those never met before as well. */
  follow(connections: Iterable<ConnectionStatus>, inView: ProfileId | null): void {
    let next: Map<ProfileId, number> | null = null;
    for (const { id, counters } of connections) {
      const seen = this.#seen.get(id);
      const restarted = seen !== undefined && counters.received < seen;
      const now = id === inView || seen === undefined ? counters.received : restarted ? 0 : seen;
      if (now !== seen) (next ??= new Map(this.#seen)).set(id, now);
    }
    if (next) this.#seen = next;
  }
}

export const unread = new Unread();
