/** A pane's size that a person chose, kept across restarts. */
import { backend } from "$lib/backend";

export class PaneSize {
  /** Null until somebody chose one. */
  chosen = $state<number | null>(null);
  readonly #key: string;

  constructor(key: string) {
    this.#key = `layout.${key}`;
    backend
      .value<number>(this.#key)
      .then((value) => {
        if (typeof value === "number") this.chosen ??= value;
      })
      .catch(() => {});
  }

  keep(value: number): void {
    this.chosen = value;
    void backend.setValue(this.#key, value).catch(() => {});
  }
}
