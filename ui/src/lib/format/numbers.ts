/** Counts, rates and sizes. */
import { numberFormat } from "./locale";

/** `612,340` */
export function count(value: number): string {
  return numberFormat({ maximumFractionDigits: 0 }).format(value);
}

/** A rate a second: `0.4`, `2.5`, `412`. */
export function rate(perSecond: number): string {
  return numberFormat({ maximumFractionDigits: perSecond < 10 ? 1 : 0 }).format(perSecond);
}

/** Bytes in powers of ten: `812 B`, `1.2 kB`, `3.4 MB`. */
export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = value;
  let unit = 0;
  while (unit < units.length - 1 && size >= (unit === 0 ? 1000 : 999.95)) {
    size /= 1000;
    unit += 1;
  }
  const maximumFractionDigits = unit === 0 || size >= 100 ? 0 : 1;
  return `${numberFormat({ maximumFractionDigits }).format(size)} ${units[unit]}`;
}
