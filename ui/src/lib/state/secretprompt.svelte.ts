/**
 * Questions for secrets, one after the other; `SecretPrompt` draws them. In: which secrets of which connection.
 * Out: whether the engine has them now. What is typed never comes here: it goes from the dialog to the engine.
 */
import type { ProfileId } from "$lib/backend/types/ProfileId";
import type { SecretField } from "$lib/backend/types/SecretField";

export interface SecretQuestion {
  id: ProfileId;
  fields: SecretField[];
  /** Why it is asked: nobody has it in this run, or what was sent was refused. */
  why: "missing" | "refused";
}

interface Waiting extends SecretQuestion {
  answer: (given: boolean) => void;
}

class SecretPrompts {
  #waiting = $state.raw<Waiting[]>([]);

  get asked(): SecretQuestion | null {
    return this.#waiting[0] ?? null;
  }

  /** Asks, and says whether the secrets were given to the engine. */
  ask(question: SecretQuestion): Promise<boolean> {
    return new Promise((answer) => (this.#waiting = [...this.#waiting, { ...question, answer }]));
  }

  answer(given: boolean): void {
    const [first, ...rest] = this.#waiting;
    this.#waiting = rest;
    first?.answer(given);
  }
}

export const secretPrompts = new SecretPrompts();
