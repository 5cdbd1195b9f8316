/**
 * One tab stop for a list whose rows hold several buttons: Up and Down go from row to row, Left and Right inside a
 * row, Home and End to the ends. Attach to the element whose children are the rows.
 */
export function rovingRows(list: HTMLElement): () => void {
  let [row, column] = [0, 0];
  /** Whether the focus is here, or was until its row went away. */
  let inside = false;

  const rows = () =>
    Array.from(list.children, (child) =>
      Array.from(child.querySelectorAll<HTMLElement>("button, input")),
    ).filter((cells) => cells.length > 0);

  /** Gives the stop to the present place, or to the nearest that there is; returns it. */
  function mark(): HTMLElement | undefined {
    const all = rows();
    row = Math.max(0, Math.min(row, all.length - 1));
    const here = all[row]?.[Math.max(0, Math.min(column, (all[row]?.length ?? 1) - 1))];
    for (const cell of all.flat()) cell.tabIndex = cell === here ? 0 : -1;
    return here;
  }

  function onfocusin({ target }: FocusEvent): void {
    inside = true;
    const at = rows().findIndex((cells) => cells.includes(target as HTMLElement));
    if (at < 0) return;
    row = at;
    column = rows()[at]?.indexOf(target as HTMLElement) ?? 0;
    mark();
  }

  function onfocusout({ target }: FocusEvent): void {
    inside = target instanceof Element && !target.isConnected;
  }

  function onkeydown(event: KeyboardEvent): void {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const width = rows()[row]?.length ?? 0;
    switch (event.key) {
      case "ArrowDown":
        row++;
        break;
      case "ArrowUp":
        row--;
        break;
      case "ArrowRight":
        column = Math.min(column + 1, width - 1);
        break;
      case "ArrowLeft":
        column = Math.max(column - 1, 0);
        break;
      case "Home":
        row = 0;
        break;
      case "End":
        row = Infinity;
        break;
      default:
        return;
    }
    event.preventDefault();
    event.stopPropagation();
    const here = mark();
    here?.focus();
    here?.scrollIntoView({ block: "nearest" });
  }

  const observer = new MutationObserver(() => {
    const here = mark();
    if (inside && document.activeElement === document.body) here?.focus();
  });
  observer.observe(list, { childList: true, subtree: true });
  list.addEventListener("focusin", onfocusin);
  list.addEventListener("focusout", onfocusout);
  list.addEventListener("keydown", onkeydown);
  mark();
  return () => {
    observer.disconnect();
    list.removeEventListener("focusin", onfocusin);
    list.removeEventListener("focusout", onfocusout);
    list.removeEventListener("keydown", onkeydown);
  };
}
