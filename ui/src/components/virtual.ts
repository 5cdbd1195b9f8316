/**
 * How millions of rows fit into a scroll bar. Web views cap the height of a scrolled element, so the scroll
 * bar gets at most `CAP` pixels and its position stands for a position in the content. The ends of the content
 * are mapped one to one, so that following the newest row and stepping near it is exact; only the middle is
 * squeezed. Pure.
 */

/** The most pixels that are ever laid out. */
export const CAP = 8_000_000;

/** What the mapping depends on, in CSS pixels. */
export interface Geometry {
  rows: number;
  rowHeight: number;
  viewport: number;
}

/** Pixels that all rows would take. */
export function contentHeight({ rows, rowHeight }: Geometry): number {
  return rows * rowHeight;
}

/** Pixels that the scrolled element takes. */
export function laidOutHeight(geometry: Geometry): number {
  return Math.min(contentHeight(geometry), CAP);
}

/** The largest content position. */
export function maxOffset(geometry: Geometry): number {
  return Math.max(0, contentHeight(geometry) - geometry.viewport);
}

/** The largest scroll bar position. */
export function maxNative(geometry: Geometry): number {
  return Math.max(0, laidOutHeight(geometry) - geometry.viewport);
}

/** Where a scroll bar position is in the content. */
export function toOffset(native: number, geometry: Geometry): number {
  const [n, t] = [maxNative(geometry), maxOffset(geometry)];
  if (n === t) return clamp(native, t);
  const edge = n / 4;
  if (native <= edge) return Math.max(0, native);
  if (native >= n - edge) return t - Math.max(0, n - native);
  return edge + ((native - edge) * (t - 2 * edge)) / (n - 2 * edge);
}

/** Where the scroll bar stands for a content position; the inverse of `toOffset`. */
export function toNative(offset: number, geometry: Geometry): number {
  const [n, t] = [maxNative(geometry), maxOffset(geometry)];
  if (n === t) return clamp(offset, t);
  const edge = n / 4;
  if (offset <= edge) return Math.max(0, offset);
  if (offset >= t - edge) return n - Math.max(0, t - offset);
  return edge + ((offset - edge) * (n - 2 * edge)) / (t - 2 * edge);
}

/**
 * The content position after the scroll bar moved. Wheels and keys move by less than two viewports and move
 * the content by just as much, wherever it is; longer ways are jumps of the thumb.
 */
export function scrolled(offset: number, from: number, to: number, geometry: Geometry): number {
  const moved = to - from;
  const jumped = Math.abs(moved) > 2 * geometry.viewport || to <= 0 || to >= maxNative(geometry);
  return jumped ? toOffset(to, geometry) : clamp(offset + moved, maxOffset(geometry));
}

/** The rows that a viewport shows at a content position: first, and one past the last. */
export function visibleRows(offset: number, { rows, rowHeight, viewport }: Geometry): [number, number] {
  const first = Math.min(rows, Math.max(0, Math.floor(offset / rowHeight)));
  return [first, Math.min(rows, Math.ceil((offset + viewport) / rowHeight))];
}

/** The nearest content position in which a row is wholly visible. */
export function revealed(index: number, offset: number, geometry: Geometry): number {
  const top = index * geometry.rowHeight;
  const bottom = top + geometry.rowHeight - geometry.viewport;
  return clamp(Math.max(Math.min(offset, top), bottom), maxOffset(geometry));
}

function clamp(value: number, max: number): number {
  return Math.min(Math.max(0, value), max);
}
