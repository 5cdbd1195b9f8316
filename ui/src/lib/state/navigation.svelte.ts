/** Where the person is in the window, and its sizes. Remembered across restarts. */
import { backend } from "$lib/backend";
import type { Fix } from "$lib/backend/types/Fix";
import type { FolderId } from "$lib/backend/types/FolderId";
import type { ProfileDraft } from "$lib/backend/types/ProfileDraft";
import type { ProfileId } from "$lib/backend/types/ProfileId";
import { keepSoon } from "./keeping";

export type Screen =
  | { kind: "connection" }
  /** The editor, on a saved connection or on a new one (then with what is known already). */
  | ({
      kind: "editor";
      id: ProfileId | null;
      folder?: FolderId | null;
      seed?: ProfileDraft;
    } & DraftChange)
  | { kind: "settings"; section?: string }
  /** The certificate library, with one file unfolded. */
  | { kind: "certificates"; file?: string };

/** What the editor does to the draft when it opens. Nothing of it is saved before the person says so. */
export interface DraftChange {
  /** A failure's fix, to be put into the form and shown there. */
  fix?: Fix;
  /** The CA file that goes with it. */
  caFile?: string;
  /** The draft as changed elsewhere. */
  draft?: ProfileDraft;
  /** Tries the changed draft at once. */
  test?: boolean;
}

export type ConnectionTab = "messages" | "trace";

export const SIDEBAR = { min: 220, max: 400, usual: 272 };
export const SUBSCRIPTIONS = { min: 120, max: 2000, usual: 420, share: 0.42 };

interface Kept {
  selected: ProfileId | null;
  tabs: [ProfileId, ConnectionTab][];
  sidebarWidth: number;
  sidebarHidden: boolean;
  /** Null until somebody moves the line: then it goes with the window. */
  subscriptionsHeight: number | null;
}

const KEY = "window";

class Navigation {
  screen = $state.raw<Screen>({ kind: "connection" });
  /** The connection right of the sidebar; none shows the first-run page. */
  selected = $state<ProfileId | null>(null);
  sidebarWidth = $state(SIDEBAR.usual);
  /** Only the rail is shown. */
  sidebarHidden = $state(false);
  /** As it was dragged; null goes with the window. */
  subscriptionsHeight = $state<number | null>(null);
  #tabs = $state.raw<ReadonlyMap<ProfileId, ConnectionTab>>(new Map());

  /** The tab of the selected connection. */
  get tab(): ConnectionTab {
    return this.tabOf(this.selected);
  }

  set tab(tab: ConnectionTab) {
    if (this.selected) this.openTab(this.selected, tab);
  }

  tabOf(id: ProfileId | null): ConnectionTab {
    return (id && this.#tabs.get(id)) || "messages";
  }

  openTab(id: ProfileId, tab: ConnectionTab): void {
    if (this.tabOf(id) !== tab) this.#tabs = new Map(this.#tabs).set(id, tab);
  }

  select(id: ProfileId | null): void {
    this.selected = id;
    this.screen = { kind: "connection" };
  }

  edit(id: ProfileId, change: DraftChange = {}): void {
    this.selected = id;
    this.screen = { kind: "editor", id, ...change };
  }

  create(folder: FolderId | null = null, seed?: ProfileDraft): void {
    this.screen = { kind: "editor", id: null, folder, seed };
  }

  settings(section?: string): void {
    this.screen = { kind: "settings", section };
  }

  certificates(file?: string): void {
    this.screen = { kind: "certificates", file };
  }

  back(): void {
    this.screen = { kind: "connection" };
  }

  async restore(): Promise<void> {
    const kept = await backend.value<Partial<Kept>>(KEY).catch(() => null);
    if (!kept) return;
    this.selected = kept.selected ?? null;
    this.#tabs = new Map(kept.tabs ?? []);
    this.sidebarWidth = within(SIDEBAR, kept.sidebarWidth);
    this.sidebarHidden = kept.sidebarHidden ?? false;
    this.subscriptionsHeight =
      typeof kept.subscriptionsHeight === "number" ? within(SUBSCRIPTIONS, kept.subscriptionsHeight) : null;
  }

  /** Keeps everything shortly after it changed; to be called inside an effect. */
  keep(): void {
    const kept = this.#kept();
    keepSoon(KEY, () => kept);
  }

  #kept(): Kept {
    const { selected, sidebarWidth, sidebarHidden, subscriptionsHeight } = this;
    return { selected, tabs: [...this.#tabs], sidebarWidth, sidebarHidden, subscriptionsHeight };
  }
}

function within({ min, max, usual }: Record<keyof typeof SIDEBAR, number>, size: number | undefined): number {
  return size === undefined || Number.isNaN(size) ? usual : Math.max(min, Math.min(max, size));
}

export const navigation = new Navigation();
