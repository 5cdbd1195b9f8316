/** Questions that are asked before something is lost. `ConfirmHost` draws them. */
export interface Question {
  title: string;
  text: string;
  /** What the button does, in words. */
  action: string;
  /** Something is destroyed. */
  danger?: boolean;
}

class Confirmations {
  asked = $state.raw<Question | null>(null);
  #answer: ((yes: boolean) => void) | null = null;

  ask(question: Question): Promise<boolean> {
    this.answer(false);
    this.asked = question;
    return new Promise((resolve) => (this.#answer = resolve));
  }

  answer(yes: boolean): void {
    this.asked = null;
    this.#answer?.(yes);
    this.#answer = null;
  }
}

export const confirmations = new Confirmations();

/** Asks, and says whether the person agreed. */
export const confirm = (question: Question): Promise<boolean> => confirmations.ask(question);
