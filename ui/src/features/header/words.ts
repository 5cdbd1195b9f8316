/** How long a connection stands and how soon the next attempt comes, in the header's short words. */
import { m } from "$messages";

/** `12 s`, `14 min`, `2 h 14 min`, `3 d 2 h` */
export function shortSpan(micros: number): string {
  const seconds = Math.max(0, Math.floor(micros / 1_000_000));
  const [d, h, min] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60,
  ];
  if (d > 0) return m.span_d_h({ d, h });
  if (h > 0) return m.span_h_min({ h, min });
  if (min > 0) return m.span_min({ min });
  return m.span_s({ s: seconds });
}

/** Seconds left, never less than nothing. */
export function secondsUntil(at: number, now: number): number {
  return Math.max(0, Math.ceil((at - now) / 1_000_000));
}

/** The last part of a path, without its extension. */
export function fileStem(path: string): string {
  return (path.split(/[\\/]/).at(-1) ?? path).replace(/\.[^.]+$/, "");
}
