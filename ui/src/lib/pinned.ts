/** Pinned messages, where they are spoken of before they go. */
import { backend } from "$lib/backend";
import type { ProfileId } from "$lib/backend/types/ProfileId";
import { attempt } from "$lib/report";
import { noFilter } from "$lib/state/streamfilter.svelte";
import { m } from "$messages";

/** What deleting all messages of a connection would take along: a sentence after a space, or nothing. */
export async function pinnedWords(id: ProfileId): Promise<string> {
  const opened = await attempt(backend.openView(id, noFilter()));
  if (!opened) return "";
  await attempt(backend.closeView(opened.view));
  const { pinned } = opened.count;
  return pinned > 0 ? ` ${m.stream_clear_pinned({ count: pinned })}` : "";
}
