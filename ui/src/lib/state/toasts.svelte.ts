/** Short remarks at the edge of the window, each with at most one action (usually *Undo*). */
export interface Toast {
  tone: "ok" | "warn" | "err" | "info";
  text: string;
  action?: { label: string; run: () => void };
}

class Toasts {
  shown = $state<(Toast & { key: number })[]>([]);
  #next = 0;

  show(toast: Toast): void {
    const key = this.#next++;
    this.shown.push({ ...toast, key });
    setTimeout(() => this.dismiss(key), toast.action ? 10_000 : 5_000);
  }

  dismiss(key: number): void {
    this.shown = this.shown.filter((toast) => toast.key !== key);
  }
}

export const toasts = new Toasts();
