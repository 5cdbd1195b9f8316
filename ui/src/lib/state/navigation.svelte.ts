/** Where the person is in the window. Remembered across restarts. */
import type { Fix } from "$lib/backend/types/Fix";
import type { FolderId } from "$lib/backend/types/FolderId";
import type { ProfileDraft } from "$lib/backend/types/ProfileDraft";
import type { ProfileId } from "$lib/backend/types/ProfileId";

export type Screen =
  | { kind: "connection" }
  /** The editor, on a saved connection or on a new one (then with what is known already). */
  | {
      kind: "editor";
      id: ProfileId | null;
      folder?: FolderId | null;
      seed?: ProfileDraft;
      /** A failure's fix, to be put into the form and shown there. */
      fix?: Fix;
      /** The CA file that goes with it. */
      caFile?: string;
    }
  | { kind: "settings"; section?: string };

export type ConnectionTab = "messages" | "trace";

class Navigation {
  screen = $state.raw<Screen>({ kind: "connection" });
  /** The connection right of the sidebar; none shows the first-run page. */
  selected = $state<ProfileId | null>(null);
  tab = $state<ConnectionTab>("messages");

  select(id: ProfileId | null): void {
    this.selected = id;
    this.screen = { kind: "connection" };
  }

  edit(id: ProfileId, fix?: Fix, caFile?: string): void {
    this.selected = id;
    this.screen = { kind: "editor", id, fix, caFile };
  }

  create(folder: FolderId | null = null, seed?: ProfileDraft): void {
    this.screen = { kind: "editor", id: null, folder, seed };
  }

  settings(section?: string): void {
    this.screen = { kind: "settings", section };
  }

  back(): void {
    this.screen = { kind: "connection" };
  }
}

export const navigation = new Navigation();
