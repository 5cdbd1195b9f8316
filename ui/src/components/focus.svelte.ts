import { untrack } from "svelte";

/**
 * Rows that change places keep the focus: an element that is put elsewhere in the page loses it, and the next key
 * would go nowhere. To be called where effects live; `rows` is what the list is drawn from.
 */
export function keepFocus(list: () => HTMLElement | undefined, rows: () => unknown): void {
  let held: HTMLElement | null = null;
  $effect.pre(() => {
    rows();
    const active = document.activeElement;
    held = active instanceof HTMLElement && untrack(list)?.contains(active) ? active : null;
  });
  $effect(() => {
    rows();
    if (held?.isConnected && document.activeElement !== held) held.focus({ preventScroll: true });
    held = null;
  });
}
