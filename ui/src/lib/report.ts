/** Tells the person about a command that the engine refused. In: what was thrown. Out: a toast. */
import { asEngineError } from "$lib/backend";
import { toasts } from "$lib/state/toasts.svelte";
import { m } from "$messages";

export function report(thrown: unknown): void {
  const error = asEngineError(thrown);
  if (error.code === "cancelled") return;
  toasts.show({ tone: "err", text: errorText(thrown) });
}

/** An error in words: by its code where we have them, else in the engine's. */
export function errorText(thrown: unknown): string {
  const error = asEngineError(thrown);
  switch (error.code) {
    case "not_connected":
      return m.error_not_connected();
    case "already_connected":
      return m.error_already_connected();
    default:
      return error.message;
  }
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
