/** Copying. In: text. Out: the clipboard, and a remark that it is there, or why not. */
import { backend } from "$lib/backend";
import { attempt } from "$lib/report";
import { toasts } from "$lib/state/toasts.svelte";
import { m } from "$messages";

/** `said` is asked for as it is said. */
export async function copyAs(text: string, said: () => string): Promise<void> {
  const copied = await attempt(backend.copyText(text).then(() => true));
  if (copied) toasts.show({ tone: "ok", text: said });
}

/** The same for what has a name. */
export function copyText(text: string, what: () => string): Promise<void> {
  return copyAs(text, () => m.copied({ what: what() }));
}
