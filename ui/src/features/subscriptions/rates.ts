/** Rates from counts that only grow. In: a count now and then. Out: a rate a second, smoothed over a few samples. */
const WINDOW = 5;

export class Rates {
  #samples = new Map<string, { at: number; count: number }[]>();

  /** Takes counts at a moment in milliseconds and forgets names that are gone. */
  sample(at: number, counts: ReadonlyMap<string, number>): void {
    for (const name of this.#samples.keys()) if (!counts.has(name)) this.#samples.delete(name);
    for (const [name, count] of counts) {
      const known = this.#samples.get(name) ?? [];
      // A count that fell started over.
      const kept = (known.at(-1)?.count ?? 0) > count ? [] : known.slice(-(WINDOW - 1));
      this.#samples.set(name, [...kept, { at, count }]);
    }
  }

  /** Messages a second; null while there is only one sample. */
  of(name: string): number | null {
    const samples = this.#samples.get(name);
    const first = samples?.[0];
    const last = samples?.at(-1);
    if (!first || !last || last.at <= first.at) return null;
    return ((last.count - first.count) * 1000) / (last.at - first.at);
  }
}
