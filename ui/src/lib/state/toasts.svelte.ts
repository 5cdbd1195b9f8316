/** Short remarks, each with at most one action (usually *Undo*). They go by themselves, but not while somebody is at them. */
export interface Toast {
  tone: "ok" | "warn" | "err" | "info";
  /** Its words, asked for as they are drawn: a remark speaks the language of the window, also after that was changed. */
  text: () => string;
  action?: { label: () => string; run: () => void };
}

export type ShownToast = Toast & { key: number };

/** How long a remark stays, in milliseconds; longer when there is something to do or to read about it. */
const STAYS = 5_000;
const STAYS_LONGER = 10_000;

class Toasts {
  /** Oldest first. */
  shown = $state.raw<ShownToast[]>([]);
  #next = 0;
  #timers = new Map<number, ReturnType<typeof setTimeout>>();
  #held = false;

  show(toast: Toast): void {
    const shown = { ...toast, key: this.#next++ };
    this.shown = [...this.shown, shown];
    this.#arm(shown);
  }

  dismiss(key: number): void {
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
    this.shown = this.shown.filter((toast) => toast.key !== key);
    if (this.shown.length === 0) this.#held = false;
  }

  /** Somebody reads them, or has one in focus: none goes by itself until `release`. */
  hold(): void {
    this.#held = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  release(): void {
    if (!this.#held) return;
    this.#held = false;
    this.shown.forEach((toast) => this.#arm(toast));
  }

  #arm({ key, tone, action }: ShownToast): void {
    if (this.#held) return;
    const stays = action || tone === "err" ? STAYS_LONGER : STAYS;
    this.#timers.set(
      key,
      setTimeout(() => this.dismiss(key), stays),
    );
  }
}

export const toasts = new Toasts();
