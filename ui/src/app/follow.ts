/**
 * Which tab an attempt opens. A connect that somebody asked for and that fails opens the trace; when it works
 * later, the tab that was open before comes back. Losses and retries leave the tab alone. Goes by traces, not by
 * phases: an attempt may be over before its phase was ever seen.
 */
import type { ProfileId } from "$lib/backend/types/ProfileId";
import type { Trace } from "$lib/backend/types/Trace";
import type { ConnectionTab } from "$lib/state/navigation.svelte";

interface Tabs {
  tabOf(id: ProfileId): ConnectionTab;
  openTab(id: ProfileId, tab: ConnectionTab): void;
}

export class TabFollower {
  #tabs: Tabs;
  /** The attempt whose end was acted upon, by its start. */
  #ended = new Map<ProfileId, number>();
  #before = new Map<ProfileId, ConnectionTab>();

  constructor(tabs: Tabs) {
    this.#tabs = tabs;
  }

  take(
    id: ProfileId,
    { attempt, started_at, verdict }: Pick<Trace, "attempt" | "started_at" | "verdict">,
  ): void {
    if (!verdict || this.#ended.get(id) === started_at) return;
    this.#ended.set(id, started_at);
    const open = this.#tabs.tabOf(id);
    if (verdict.outcome === "connected") {
      const before = this.#before.get(id);
      this.#before.delete(id);
      if (before) this.#tabs.openTab(id, before);
    } else if (attempt === 1 && verdict.failure?.code !== "cancelled" && open !== "trace") {
      this.#before.set(id, open);
      this.#tabs.openTab(id, "trace");
    }
  }

  /** The person chose a tab: it stays. */
  chosen(id: ProfileId): void {
    this.#before.delete(id);
  }
}
