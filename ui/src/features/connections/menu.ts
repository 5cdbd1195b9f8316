/** What the menus of the sidebar have in common. */
import type { MenuEntry } from "$components/menu.svelte";
import { transfers } from "$lib/state/transfers.svelte";
import { m } from "$messages";

/** Connections in, and all of them out. */
export function transferEntries(): MenuEntry[] {
  return [
    { label: m.transfer_import(), icon: "import", run: () => transfers.import() },
    { label: m.transfer_export(), icon: "save", run: () => transfers.export() },
  ];
}
