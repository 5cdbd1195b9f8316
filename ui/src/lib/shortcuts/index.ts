/**
 * Keys to commands. A feature provides what a shortcut does while it is on screen; the window binds all keys
 * once. A shortcut that nobody provides leaves its keys alone.
 */
import { tinykeys } from "tinykeys";
import { SHORTCUTS, type Shortcut, type ShortcutId } from "./table";

export { keysOf, SHORTCUTS, type Scope, type Shortcut, type ShortcutId } from "./table";
export { isMac, keyCaps, keyText } from "./keys";

/** What works while a question waits to be answered: closing it by its own keys, and closing the window. */
const BESIDE_QUESTIONS: ReadonlySet<ShortcutId> = new Set(["palette", "quit"]);

const providers = new Map<ShortcutId, (() => void)[]>();

/** Says what a shortcut does from now on; the latest provider wins. Returns how to take it back. */
export function provide(id: ShortcutId, run: () => void): () => void {
  const stack = providers.get(id) ?? [];
  providers.set(id, [...stack, run]);
  return () =>
    providers.set(
      id,
      (providers.get(id) ?? []).filter((other) => other !== run),
    );
}

/** Runs what a shortcut does now; false when it does nothing. */
export function runShortcut(id: ShortcutId): boolean {
  const run = providers.get(id)?.at(-1);
  run?.();
  return run !== undefined;
}

export function isProvided(id: ShortcutId): boolean {
  return (providers.get(id)?.length ?? 0) > 0;
}

/** Binds the table's keys, and Mod+1 to Mod+9; returns how to unbind. */
export function bindShortcuts(target: Window | HTMLElement, switchTo: (index: number) => void): () => void {
  const bindings: Record<string, (event: KeyboardEvent) => void> = {};
  for (const shortcut of SHORTCUTS as readonly (Shortcut & { id: ShortcutId })[]) {
    if (shortcut.local) continue;
    bindings[tinykeysBinding(shortcut.keys)] = (event) => {
      if (modalIsOpen() && !BESIDE_QUESTIONS.has(shortcut.id)) return;
      if (runShortcut(shortcut.id)) event.preventDefault();
    };
  }
  for (let digit = 1; digit <= 9; digit++) {
    bindings[`$mod+${digit}`] = (event) => {
      if (modalIsOpen()) return;
      event.preventDefault();
      switchTo(digit - 1);
    };
  }
  return tinykeys(target as Window, bindings);
}

function tinykeysBinding(keys: string): string {
  return keys.replace("Mod", "$mod");
}

/** A question that has to be answered first. */
function modalIsOpen(): boolean {
  return document.querySelector(".dialog-part") !== null;
}
