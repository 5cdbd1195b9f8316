/** Exports, recordings, imports and replays that are under way. In: what the engine tells. Out: them, and a remark when one ends. */
import { backend } from "$lib/backend";
import type { ProfileId } from "$lib/backend/types/ProfileId";
import type { TransferStatus } from "$lib/backend/types/TransferStatus";
import { ending } from "$lib/recordings";
import { navigation } from "./navigation.svelte";
import { toasts } from "./toasts.svelte";

class Recordings {
  #all = $state.raw<ReadonlyMap<number, TransferStatus>>(new Map());
  /** The connection that an import was begun from, by the one that was made for it. */
  #begunFrom = new Map<ProfileId, ProfileId>();

  /** Those of a connection, oldest first. */
  of(id: ProfileId): TransferStatus[] {
    return [...this.#all.values()].filter(({ connection }) => connection === id);
  }

  /** The recording of a connection, if there is one. */
  recording(id: ProfileId): TransferStatus | undefined {
    return this.of(id).find(({ kind }) => kind === "record");
  }

  async refresh(): Promise<void> {
    this.#all = new Map((await backend.transfers()).map((transfer) => [transfer.id, transfer]));
  }

  /** Whoever looks at what was made when it is taken back is led back to where it was begun. */
  imports(made: ProfileId, from: ProfileId): void {
    this.#begunFrom.set(made, from);
  }

  take(transfer: TransferStatus): void {
    const all = new Map(this.#all);
    const { state } = transfer.state;
    if (state === "running" || state === "paused") {
      all.set(transfer.id, transfer);
    } else {
      all.delete(transfer.id);
      const from = this.#begunFrom.get(transfer.connection);
      this.#begunFrom.delete(transfer.connection);
      if (from && state === "failed" && navigation.selected === transfer.connection)
        navigation.selected = from;
      toasts.show(ending(transfer));
    }
    this.#all = all;
  }
}

export const recordings = new Recordings();
