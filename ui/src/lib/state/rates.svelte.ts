/** The last minute of each connection's rates, for the small chart in the header. Sampled once a second. */
import type { ProfileId } from "$lib/backend/types/ProfileId";
import { engine } from "./engine.svelte";

const SAMPLES = 60;
const EVERY_MS = 1000;

export interface Sample {
  received: number;
  sent: number;
}

class Rates {
  #history = $state.raw<ReadonlyMap<ProfileId, readonly Sample[]>>(new Map());

  of(id: ProfileId): readonly Sample[] {
    return this.#history.get(id) ?? [];
  }

  start(): () => void {
    const timer = setInterval(() => this.sample(), EVERY_MS);
    return () => clearInterval(timer);
  }

  sample(): void {
    const next = new Map<ProfileId, readonly Sample[]>();
    for (const { id, counters, phase } of engine.connections.values()) {
      const known = this.#history.get(id);
      if (phase.phase === "idle" && !known) continue;
      const sample = { received: counters.received_per_s, sent: counters.sent_per_s };
      next.set(id, [...(known ?? []), sample].slice(-SAMPLES));
    }
    this.#history = next;
  }
}

export const rates = new Rates();

/** A path through samples, newest at the right edge; empty without samples. */
export function sparkPath(values: readonly number[], width: number, height: number, top: number): string {
  if (values.length === 0) return "";
  const step = width / (SAMPLES - 1);
  const scale = (height - 1.5) / Math.max(top, 1);
  return values
    .map((value, index) => {
      const x = width - (values.length - 1 - index) * step;
      return `${index === 0 ? "M" : "L"}${x.toFixed(1)} ${(height - 0.5 - value * scale).toFixed(1)}`;
    })
    .join("");
}
