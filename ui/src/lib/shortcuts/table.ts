/** Every shortcut of the window, once: this table drives the keys, the tooltips and the list in the settings. */
import { m } from "$messages";

export type Scope = "anywhere" | "sidebar" | "connection" | "stream" | "publish";

export interface Shortcut {
  id: string;
  /** As in `Mod+Shift+U`; `Mod` is Cmd on macOS. */
  keys: string;
  scope: Scope;
  label: () => string;
  /** Handled by what has focus, not by the window: listed here, never bound. */
  local?: boolean;
}

export const SHORTCUTS = [
  { id: "palette", keys: "Mod+K", scope: "anywhere", label: m.shortcut_palette },
  { id: "new", keys: "Mod+N", scope: "anywhere", label: m.shortcut_new },
  { id: "switch", keys: "Mod+1…9", scope: "anywhere", label: m.shortcut_switch, local: true },
  { id: "next_unread", keys: "Mod+Shift+U", scope: "anywhere", label: m.shortcut_next_unread },
  { id: "sidebar", keys: "Mod+B", scope: "anywhere", label: m.shortcut_sidebar },
  { id: "theme", keys: "Mod+Shift+L", scope: "anywhere", label: m.shortcut_theme },
  { id: "certificates", keys: "Mod+Shift+K", scope: "anywhere", label: m.shortcut_certificates },
  { id: "settings", keys: "Mod+,", scope: "anywhere", label: m.shortcut_settings },
  { id: "quit", keys: "Mod+Q", scope: "anywhere", label: m.shortcut_quit },
  { id: "next_pane", keys: "F6", scope: "anywhere", label: m.shortcut_next_pane },
  { id: "previous_pane", keys: "Shift+F6", scope: "anywhere", label: m.shortcut_previous_pane },
  { id: "notices", keys: "F8", scope: "anywhere", label: m.shortcut_notices },
  { id: "rename", keys: "F2", scope: "sidebar", label: m.shortcut_rename, local: true },
  { id: "move_up", keys: "Alt+ArrowUp", scope: "sidebar", label: m.shortcut_move_up, local: true },
  { id: "move_down", keys: "Alt+ArrowDown", scope: "sidebar", label: m.shortcut_move_down, local: true },
  { id: "delete", keys: "Delete", scope: "sidebar", label: m.shortcut_delete, local: true },
  { id: "menu", keys: "Shift+F10", scope: "sidebar", label: m.shortcut_menu, local: true },
  { id: "toggle", keys: "Mod+Shift+Enter", scope: "connection", label: m.shortcut_toggle },
  { id: "edit", keys: "Mod+E", scope: "connection", label: m.shortcut_edit },
  { id: "endpoint", keys: "Mod+L", scope: "connection", label: m.shortcut_endpoint },
  { id: "trace", keys: "Mod+Shift+T", scope: "connection", label: m.shortcut_trace },
  { id: "subscribe", keys: "Mod+Shift+S", scope: "connection", label: m.shortcut_subscribe },
  { id: "filter", keys: "Mod+F", scope: "stream", label: m.shortcut_filter },
  { id: "pause", keys: "Space", scope: "stream", label: m.shortcut_pause, local: true },
  { id: "newest", keys: "End", scope: "stream", label: m.shortcut_newest, local: true },
  { id: "move_next", keys: "J", scope: "stream", label: m.shortcut_move_next, local: true },
  { id: "move_previous", keys: "K", scope: "stream", label: m.shortcut_move_previous, local: true },
  { id: "inspect", keys: "Enter", scope: "stream", label: m.shortcut_inspect, local: true },
  { id: "copy_payload", keys: "Mod+C", scope: "stream", label: m.shortcut_copy_payload, local: true },
  { id: "only_topic", keys: "F", scope: "stream", label: m.shortcut_only_topic, local: true },
  { id: "republish", keys: "R", scope: "stream", label: m.shortcut_republish, local: true },
  { id: "pin", keys: "P", scope: "stream", label: m.shortcut_pin, local: true },
  { id: "mark", keys: "M", scope: "stream", label: m.shortcut_mark, local: true },
  { id: "compare", keys: "D", scope: "stream", label: m.shortcut_compare, local: true },
  { id: "composer", keys: "Mod+P", scope: "publish", label: m.shortcut_composer },
  { id: "publish", keys: "Mod+Enter", scope: "publish", label: m.shortcut_publish, local: true },
] as const satisfies readonly Shortcut[];

export type ShortcutId = (typeof SHORTCUTS)[number]["id"];

/** The keys of a shortcut, for tooltips and menus. */
export function keysOf(id: ShortcutId): string {
  return SHORTCUTS.find((shortcut) => shortcut.id === id)?.keys ?? "";
}
