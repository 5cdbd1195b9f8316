/** Tells the person about a command that the engine refused. In: what was thrown. Out: a toast. */
import { asEngineError } from "$lib/backend";
import { errorWords } from "$lib/errors";
import { toasts } from "$lib/state/toasts.svelte";

export function report(thrown: unknown): void {
  const error = asEngineError(thrown);
  if (error.code === "cancelled") return;
  toasts.show({ tone: "err", text: () => errorText(thrown) });
}

/** An error in words. */
export function errorText(thrown: unknown): string {
  return errorWords(asEngineError(thrown));
}

/** Runs a command and reports its failure; undefined then. */
export async function attempt<T>(command: Promise<T>): Promise<T | undefined> {
  try {
    return await command;
  } catch (thrown) {
    report(thrown);
    return undefined;
  }
}
