/**
 * What is to be imported or exported, from wherever in the window; the dialogs of `features/transfer` draw it. In: files,
 * pasted text, connections. Out: which dialog is open. A passphrase never comes here.
 */
import type { ImportInput } from "$lib/backend/types/ImportInput";
import type { ProfileId } from "$lib/backend/types/ProfileId";

class Transfers {
  /** The import that is on screen; without an input yet it asks for one. */
  importing = $state.raw<{ input: ImportInput | null } | null>(null);
  /** The export that is on screen: one connection can be meant. */
  exporting = $state.raw<{ id: ProfileId | null } | null>(null);

  get busy(): boolean {
    return this.importing !== null || this.exporting !== null;
  }

  import(input: ImportInput | null = null): void {
    this.importing = { input };
  }

  export(id: ProfileId | null = null): void {
    this.exporting = { id };
  }

  close(): void {
    this.importing = null;
    this.exporting = null;
  }
}

export const transfers = new Transfers();

/** Whether a text is a command line of another client. What it means is the engine's to say. */
export function isCommandLine(text: string): boolean {
  return /(^|[\s/\\])(mosquitto_(sub|pub|rr)|mqttx(-cli[\w-]*)?)(\.exe)?\s/i.test(text);
}
