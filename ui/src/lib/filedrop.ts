/**
 * Files that are dragged over the window. In: the shell's drags, and the places that take files. Out: marks on
 * those places while something is dragged (`data-drop`: `ready`, and `over` below the pointer), and the files for
 * the innermost place below the pointer. A place never takes what lies under a dialog.
 */
import { backend, type FileDrag } from "$lib/backend";

export interface FilePlace {
  /** What happens when files are let go here, shown while they are dragged; none where the place itself says it. */
  hint?: string;
  /** Several files are a matter of the place around it. */
  single?: boolean;
  take: (paths: string[]) => void;
}

const places = new Map<HTMLElement, FilePlace>();
let stop: (() => void) | null = null;

/** For `{@attach}`: the element takes files. */
export function takesFiles(place: FilePlace): (element: HTMLElement) => () => void {
  return (element) => {
    places.set(element, place);
    stop ??= backend.onFileDrag(take);
    return () => {
      unmark(element);
      places.delete(element);
      if (places.size > 0) return;
      stop?.();
      stop = null;
    };
  };
}

function take(drag: FileDrag): void {
  if (drag.kind === "over") {
    const below = placeAt(drag.x, drag.y);
    for (const [element, { hint }] of places) {
      element.dataset["drop"] = element === below ? "over" : "ready";
      if (hint) element.dataset["dropHint"] = hint;
    }
    // The mouse moves over the page again: whoever dragged went away without a word.
    document.addEventListener("pointermove", unmarkAll, { once: true });
    return;
  }
  unmarkAll();
  if (drag.kind === "leave") return;
  const below = placeAt(drag.x, drag.y, drag.paths.length > 1);
  if (below) places.get(below)?.take(drag.paths);
}

function placeAt(x: number, y: number, several = false): HTMLElement | null {
  let element = document.elementFromPoint(x, y);
  for (; element; element = element.parentElement) {
    const place = element instanceof HTMLElement ? places.get(element) : undefined;
    if (place && !(several && place.single)) return element as HTMLElement;
  }
  return null;
}

function unmarkAll(): void {
  for (const element of places.keys()) unmark(element);
}

function unmark({ dataset }: HTMLElement): void {
  delete dataset["drop"];
  delete dataset["dropHint"];
}
