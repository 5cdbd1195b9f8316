/**
 * What the engine last said, for every part of the window to read. In: events and answers. Out: reactive
 * values. Never decides anything: commands go straight to the backend.
 */
import { backend, type EngineError } from "$lib/backend";
import type { BrokerStatus } from "$lib/backend/types/BrokerStatus";
import type { ConnectionStatus } from "$lib/backend/types/ConnectionStatus";
import type { EngineEvent } from "$lib/backend/types/EngineEvent";
import type { LibraryTree } from "$lib/backend/types/LibraryTree";
import type { ProfileEntry } from "$lib/backend/types/ProfileEntry";
import type { ProfileId } from "$lib/backend/types/ProfileId";
import type { Trace } from "$lib/backend/types/Trace";
import { noticeToast } from "$lib/notices";
import { toasts } from "./toasts.svelte";
import { recordings } from "./recordings.svelte";
import { vault } from "./vault.svelte";

class EngineState {
  tree = $state.raw<LibraryTree>({ folders: [], profiles: [], damaged: [] });
  connections = $state.raw<ReadonlyMap<ProfileId, ConnectionStatus>>(new Map());
  /** The attempt under way, or the latest one, of each connection. */
  traces = $state.raw<ReadonlyMap<ProfileId, Trace>>(new Map());
  /** The same for tests of drafts. */
  tests = $state.raw<ReadonlyMap<ProfileId, Trace>>(new Map());
  broker = $state.raw<BrokerStatus | null>(null);
  /** Why messages cannot be stored now; null when they are. */
  storageProblem = $state.raw<EngineError | null>(null);
  /** Whether the first answers have arrived. */
  ready = $state(false);
  #treesAsked = 0;
  #treeShown = 0;

  /** Asks for everything once and follows the events from then on; returns how to stop. */
  async start(): Promise<() => void> {
    this.connections = new Map();
    this.broker = null;
    const stop = backend.onEvent((event) => this.#take(event));
    const [connections, broker] = await Promise.all([
      backend.connections(),
      backend.brokerStatus(),
      this.refreshTree(),
      vault.refresh(),
      recordings.refresh(),
    ]);
    // What an event told meanwhile is newer.
    this.connections = new Map([
      ...connections.map((status) => [status.id, status] as const),
      ...this.connections,
    ]);
    this.broker ??= broker;
    this.ready = true;
    return stop;
  }

  entry(id: ProfileId | null): ProfileEntry | undefined {
    return this.tree.profiles.find((profile) => profile.id === id);
  }

  /** Makes a connection known that was never connected in this run: its stored rows and subscriptions. */
  async know(id: ProfileId): Promise<void> {
    if (this.connections.has(id)) return;
    const status = await backend.openConnection(id);
    // An event may have been faster, and is newer.
    if (!this.connections.has(id)) this.connections = new Map(this.connections).set(id, status);
  }

  /** The same for all of them: how much each has stored is said where none is open. */
  async knowAll(): Promise<void> {
    await Promise.all(this.tree.profiles.map(({ id }) => this.know(id)));
  }

  /** Reads the saved connections again. An answer that a later one has overtaken is older, and is not shown. */
  async refreshTree(): Promise<void> {
    const asked = ++this.#treesAsked;
    const tree = await backend.libraryTree();
    if (asked < this.#treeShown) return;
    this.#treeShown = asked;
    this.tree = tree;
  }

  #take(event: EngineEvent): void {
    switch (event.event) {
      case "library_changed":
        void this.refreshTree();
        break;
      case "connection":
        this.connections = new Map(this.connections).set(event.id, event);
        break;
      case "pulse": {
        const connections = new Map(this.connections);
        for (const { id, counters, subscription_counts } of event.connections) {
          const status = connections.get(id);
          if (!status) continue;
          const subscriptions = status.subscriptions.map((subscription, index) => ({
            ...subscription,
            received: subscription_counts[index] ?? subscription.received,
          }));
          connections.set(id, { ...status, counters, subscriptions });
        }
        this.connections = connections;
        break;
      }
      case "trace":
        if (event.test) this.tests = new Map(this.tests).set(event.id, event.trace);
        else this.traces = new Map(this.traces).set(event.id, event.trace);
        break;
      case "broker":
        this.broker = event;
        break;
      case "vault":
        vault.take(event);
        break;
      case "transfer":
        recordings.take(event);
        break;
      case "notice":
        if (event.code === "storage_failing") this.storageProblem = event.error;
        if (event.code === "storage_recovered") this.storageProblem = null;
        toasts.show(noticeToast(event));
        break;
    }
  }
}

export const engine = new EngineState();
