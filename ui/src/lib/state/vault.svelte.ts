/**
 * What the engine last said about the vault, and the questions to open it, one after the other; `VaultPrompt` draws
 * them. In: events, answers. Out: reactive values. A passphrase never comes here: it goes from a dialog to the engine.
 */
import { backend } from "$lib/backend";
import type { ProfileId } from "$lib/backend/types/ProfileId";
import type { VaultStatus } from "$lib/backend/types/VaultStatus";

/** How a question to open the vault ended. */
export type VaultAnswer = "open" | "type" | "cancelled";

export interface VaultQuestion {
  /** Which connection waits for it; null when the person just wants it open. */
  id: ProfileId | null;
  /** Whether typing the secrets instead is a way out. */
  typed: boolean;
  /** It is a private key that is in there. */
  key?: boolean;
}

interface Waiting extends VaultQuestion {
  answer: (answer: VaultAnswer) => void;
}

class VaultView {
  status = $state.raw<VaultStatus | null>(null);
  #waiting = $state.raw<Waiting[]>([]);

  take(status: VaultStatus): void {
    this.status = status;
  }

  async refresh(): Promise<void> {
    this.status = await backend.vaultStatus();
  }

  get isOpen(): boolean {
    return this.status?.state === "open";
  }

  get asked(): VaultQuestion | null {
    return this.#waiting[0] ?? null;
  }

  /** Asks the person to open the vault, and says how that ended. */
  async ask(question: VaultQuestion): Promise<VaultAnswer> {
    // What is known may be older than what made somebody ask.
    await this.refresh();
    return new Promise((answer) => (this.#waiting = [...this.#waiting, { ...question, answer }]));
  }

  answer(answer: VaultAnswer): void {
    const [first, ...rest] = this.#waiting;
    this.#waiting = rest;
    first?.answer(answer);
  }
}

export const vault = new VaultView();
