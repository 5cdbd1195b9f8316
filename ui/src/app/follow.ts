/**
 * Which tab an attempt opens. A connect that somebody asked for and that fails opens the trace; when it works
 * later, the tab that was open before comes back. Losses and retries leave the tab alone.
 */
import type { Phase } from "$lib/backend/types/Phase";
import type { ProfileId } from "$lib/backend/types/ProfileId";
import type { ConnectionTab } from "$lib/state/navigation.svelte";

interface Tabs {
  tabOf(id: ProfileId): ConnectionTab;
  openTab(id: ProfileId, tab: ConnectionTab): void;
}

export class TabFollower {
  #tabs: Tabs;
  #phases = new Map<ProfileId, Phase["phase"]>();
  #asked = new Set<ProfileId>();
  #before = new Map<ProfileId, ConnectionTab>();

  constructor(tabs: Tabs) {
    this.#tabs = tabs;
  }

  take(id: ProfileId, phase: Phase["phase"]): void {
    const previous = this.#phases.get(id);
    if (previous === phase) return;
    this.#phases.set(id, phase);
    if (previous === undefined) return;
    if (phase === "connecting" && previous !== "waiting" && previous !== "connected") this.#asked.add(id);
    if ((phase === "failed" || phase === "waiting") && this.#asked.delete(id)) {
      const open = this.#tabs.tabOf(id);
      if (open !== "trace") {
        this.#before.set(id, open);
        this.#tabs.openTab(id, "trace");
      }
    }
    if (phase === "connected") {
      this.#asked.delete(id);
      const open = this.#before.get(id);
      this.#before.delete(id);
      if (open) this.#tabs.openTab(id, open);
    }
  }

  /** The person chose a tab: it stays. */
  chosen(id: ProfileId): void {
    this.#before.delete(id);
  }
}
