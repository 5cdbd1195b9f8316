/**
 * How soon what arrives is painted: at once while the window keeps up, less often when frames come late. In: "painted".
 * Out: how long to wait with the next.
 */

/** The frames of a display without haste; one that takes longer than this is late. */
const LATE_MS = 25;
/** Between two paintings at least, and at most. */
const LEAST_MS = 16;
const MOST_MS = 96;
/** When so much arrives that nobody can read it, this is soon enough, and costs a third. */
const FLOOD_MS = 48;
/** Screens of new rows from one painting to the next from which on that is so. */
const FLOOD_SCREENS = 8;

export class Pace {
  #between = LEAST_MS;
  #least = LEAST_MS;
  #last = -Infinity;
  #measuring = false;

  /** Milliseconds until it is time to paint again. */
  wait(now = performance.now()): number {
    return Math.max(0, this.#last + Math.max(this.#between, this.#least) - now);
  }

  /**
   * So many screens of new rows were changed that the next frame paints; the frame after it tells how long that took.
   */
  painted(screens: number, now = performance.now()): void {
    this.#last = now;
    this.#least = screens >= FLOOD_SCREENS ? FLOOD_MS : LEAST_MS;
    if (this.#measuring) return;
    this.#measuring = true;
    requestAnimationFrame((begun) =>
      requestAnimationFrame((ended) => {
        this.#measuring = false;
        this.took(ended - begun);
      }),
    );
  }

  /** How long a frame took that had something to paint. */
  took(millis: number): void {
    const factor = millis > LATE_MS ? 1.5 : 0.9;
    this.#between = Math.min(MOST_MS, Math.max(LEAST_MS, this.#between * factor));
  }
}
