/** F6: from pane to pane, in the order of the document. A pane is an element with `data-pane`. */
const FOCUSABLE =
  'button:not([disabled]):not([tabindex="-1"]), input:not([disabled]), textarea, select, [contenteditable="true"], [tabindex]:not([tabindex="-1"])';

const lastFocused = new WeakMap<Element, HTMLElement>();

export function rememberFocus(event: FocusEvent): void {
  const { target } = event;
  const pane = target instanceof Element ? target.closest("[data-pane]") : null;
  if (pane && target instanceof HTMLElement) lastFocused.set(pane, target);
}

export function focusPane(step: 1 | -1, root: ParentNode = document): void {
  const panes = Array.from(root.querySelectorAll("[data-pane]")).filter(
    (pane) => pane.querySelector("[data-pane]") === null && firstIn(pane) !== undefined,
  );
  if (panes.length === 0) return;
  const current = panes.findIndex((pane) => pane.contains(document.activeElement));
  const next = panes[current < 0 ? 0 : (current + step + panes.length) % panes.length];
  if (!next) return;
  const last = lastFocused.get(next);
  (last?.isConnected && next.contains(last) ? last : firstIn(next))?.focus();
}

function firstIn(pane: Element): HTMLElement | undefined {
  return Array.from(pane.querySelectorAll<HTMLElement>(FOCUSABLE)).find(
    (element) => element.offsetParent !== null || element === document.activeElement,
  );
}
