/**
 * How the window looks. In: choices. Out: attributes of the document, and the same choices after a restart.
 * Kept by the engine under "settings"; `localStorage` mirrors them for the first paint only.
 */
import { backend } from "$lib/backend";
import { attempt } from "$lib/report";
import { getLocale, setLocale } from "$runtime";

export type Theme = "system" | "dark" | "light";
export type Language = "en" | "zh";
export type RowHeight = "compact" | "relaxed";

interface Kept {
  theme: Theme;
  language: Language;
  /** Pixels of body text, 12 to 16. */
  textSize: number;
  rowHeight: RowHeight;
}

const KEY = "settings";
const MIRROR = "heliograph.settings";
const DESIGNED_FOR = 13;
const ROW_PIXELS: Record<RowHeight, number> = { compact: 24, relaxed: 28 };

export const TEXT_SIZES = [12, 13, 14, 15, 16];

class WindowSettings {
  theme = $state<Theme>("system");
  language = $state<Language>(getLocale());
  textSize = $state(DESIGNED_FOR);
  rowHeight = $state<RowHeight>("compact");
  #systemIsLight = $state(false);

  /** The theme that is seen. */
  readonly shownTheme: "dark" | "light" = $derived(
    this.theme === "system" ? (this.#systemIsLight ? "light" : "dark") : this.theme,
  );
  /** Height of a row of the message stream, in pixels. */
  readonly rowPixels: number = $derived(
    Math.round((ROW_PIXELS[this.rowHeight] * this.textSize) / DESIGNED_FOR),
  );

  /** Shows what was seen last, also where the engine cannot start, and follows the system's theme; returns how to stop. */
  start(): () => void {
    const system = matchMedia("(prefers-color-scheme: light)");
    const follow = () => {
      this.#systemIsLight = system.matches;
      this.#show();
    };
    system.addEventListener("change", follow);
    this.#take(mirrored());
    follow();
    return () => system.removeEventListener("change", follow);
  }

  /** Takes what the engine has kept. */
  async restore(): Promise<void> {
    this.#take(await backend.value<Partial<Kept>>(KEY).catch(() => null));
    this.#show();
  }

  change(choice: Partial<Kept>): void {
    this.#take(choice);
    this.#show();
    const { theme, language, textSize, rowHeight } = this;
    void attempt(backend.setValue(KEY, { theme, language, textSize, rowHeight } satisfies Kept));
  }

  toggleTheme(): void {
    this.change({ theme: this.shownTheme === "dark" ? "light" : "dark" });
  }

  #take(kept: Partial<Kept> | null): void {
    if (kept?.theme && ["system", "dark", "light"].includes(kept.theme)) this.theme = kept.theme;
    if (kept?.textSize && TEXT_SIZES.includes(kept.textSize)) this.textSize = kept.textSize;
    if (kept?.rowHeight && kept.rowHeight in ROW_PIXELS) this.rowHeight = kept.rowHeight;
    if (kept?.language === "en" || kept?.language === "zh") {
      if (getLocale() !== kept.language) void setLocale(kept.language, { reload: false });
      this.language = kept.language;
    }
  }

  #show(): void {
    const root = document.documentElement;
    root.dataset.theme = this.shownTheme;
    root.lang = this.language === "zh" ? "zh-CN" : "en";
    root.style.setProperty("--scale", String(this.textSize / DESIGNED_FOR));
    root.style.setProperty("--row", `${ROW_PIXELS[this.rowHeight]}px`);
    const { theme, language, textSize, rowHeight } = this;
    mirror({ theme, language, textSize, rowHeight });
  }
}

function mirror(shown: Kept): void {
  try {
    localStorage.setItem(MIRROR, JSON.stringify(shown));
  } catch {
    // Only the first paint of the next start is another one.
  }
}

function mirrored(): Partial<Kept> | null {
  try {
    return JSON.parse(localStorage.getItem(MIRROR) ?? "null") as Partial<Kept> | null;
  } catch {
    return null;
  }
}

export const settings = new WindowSettings();
