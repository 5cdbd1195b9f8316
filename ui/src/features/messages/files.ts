/** Names of files of messages. */
import type { ProfileId } from "$lib/backend/types/ProfileId";
import type { RecordingFormat } from "$lib/backend/types/RecordingFormat";
import { engine } from "$lib/state/engine.svelte";

/** The connection's name and the day, as a file may be called anywhere. */
export function suggestedName(id: ProfileId, format: RecordingFormat): string {
  const name = (engine.entry(id)?.name ?? "").replace(/[^\p{L}\p{N}.-]+/gu, "-").replace(/^-|-$/g, "");
  return `${name || "messages"}-${new Date().toISOString().slice(0, 10)}.${format}`;
}
