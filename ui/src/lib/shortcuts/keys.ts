/** Key combinations as text (`Mod+Shift+U`), as key caps, and for ARIA. `Mod` is Cmd on macOS, Ctrl elsewhere. */
export const isMac = typeof navigator === "object" && /Mac|iPhone|iPad/.test(navigator.platform);

const MAC_NAMES: Record<string, string> = { Mod: "⌘", Ctrl: "⌃", Alt: "⌥", Shift: "⇧", Enter: "↩" };
const NAMES: Record<string, string> = {
  Mod: "Ctrl",
  ArrowUp: "↑",
  ArrowDown: "↓",
  ArrowLeft: "←",
  ArrowRight: "→",
  Escape: "Esc",
  Delete: "Del",
};

/** The caps to draw, in order: `Mod+Shift+U` → Ctrl, Shift, U. */
export function keyCaps(keys: string, mac: boolean = isMac): string[] {
  return keys.split("+").map((part) => (mac && MAC_NAMES[part]) || NAMES[part] || part);
}

/** In one piece, for labels: `Ctrl+Shift+U`, `⇧⌘U`. */
export function keyText(keys: string, mac: boolean = isMac): string {
  return keyCaps(keys, mac).join(mac ? "" : "+");
}
