/** One of the options of a segment control, a radio group or a select. */
export interface Choice<T extends string | number = string> {
  value: T;
  label: string;
  icon?: string;
  /** Tooltip, or the accessible name when only the icon is drawn. */
  hint?: string;
  /** Draw the icon only. */
  iconOnly?: boolean;
  disabled?: boolean;
  /** Language of the label, when it is not the window's. */
  lang?: string;
}

/**
 * Moves focus inside a composite widget with one tab stop: arrows, Home and End. In: the key event. Out: the
 * index to go to, or null when the key is not for it.
 */
export function rove(
  event: KeyboardEvent,
  index: number,
  count: number,
  axis: "x" | "y" | "both" = "both",
): number | null {
  const back = (axis !== "y" && event.key === "ArrowLeft") || (axis !== "x" && event.key === "ArrowUp");
  const forth = (axis !== "y" && event.key === "ArrowRight") || (axis !== "x" && event.key === "ArrowDown");
  if (count === 0 || event.ctrlKey || event.metaKey || event.altKey) return null;
  if (back) return (index - 1 + count) % count;
  if (forth) return (index + 1) % count;
  if (event.key === "Home") return 0;
  if (event.key === "End") return count - 1;
  return null;
}
