/** The window's one menu: what it offers and where it hangs. `MenuHost` draws it. */
export type MenuEntry =
  | "separator"
  | {
      label: string;
      icon?: string;
      /** The shortcut that does the same. */
      keys?: string;
      /** Destroys something. */
      danger?: boolean;
      disabled?: boolean;
      run: () => void;
    };

export interface OpenMenu {
  entries: MenuEntry[];
  /** Left and top, or the element to hang below. */
  at: { x: number; y: number } | HTMLElement;
  label: string;
}

class Menus {
  open = $state.raw<OpenMenu | null>(null);
  #returnTo: HTMLElement | null = null;

  show(menu: OpenMenu): void {
    if (!this.open) this.#returnTo = document.activeElement as HTMLElement | null;
    this.open = menu;
  }

  /** For `oncontextmenu`: at the pointer, or below the focused element when a key asked. */
  context(event: MouseEvent, label: string, entries: MenuEntry[]): void {
    event.preventDefault();
    event.stopPropagation();
    const byKey = event.button !== 2 && event.clientX === 0 && event.clientY === 0;
    const element = event.currentTarget instanceof HTMLElement ? event.currentTarget : null;
    this.show({ label, entries, at: byKey && element ? element : { x: event.clientX, y: event.clientY } });
  }

  close(): void {
    this.open = null;
    this.#returnTo?.focus();
    this.#returnTo = null;
  }
}

export const menus = new Menus();

/** Whether a key press asks for the context menu. */
export function asksForMenu(event: KeyboardEvent): boolean {
  return event.key === "ContextMenu" || (event.key === "F10" && event.shiftKey);
}
