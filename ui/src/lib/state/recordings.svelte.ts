/** Exports, recordings, imports and replays that are under way. In: what the engine tells. Out: them, and a remark when one ends. */
import { backend } from "$lib/backend";
import type { ProfileId } from "$lib/backend/types/ProfileId";
import type { TransferStatus } from "$lib/backend/types/TransferStatus";
import { ending } from "$lib/recordings";
import { toasts } from "./toasts.svelte";

class Recordings {
  #all = $state.raw<ReadonlyMap<number, TransferStatus>>(new Map());

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

  take(transfer: TransferStatus): void {
    const all = new Map(this.#all);
    const { state } = transfer.state;
    if (state === "running" || state === "paused") {
      all.set(transfer.id, transfer);
    } else {
      all.delete(transfer.id);
      toasts.show(ending(transfer));
    }
    this.#all = all;
  }
}

export const recordings = new Recordings();
