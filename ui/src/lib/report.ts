/** Tells the person about a command that the engine refused. In: what was thrown. Out: a toast. */
import { asEngineError, type EngineError } from "$lib/backend";
import { endpointProblem } from "$lib/endpointwords";
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
    case "storage":
      return storageText(error) ?? error.message;
    case "file":
      return fileText(error) ?? error.message;
    case "invalid_input":
      return endpointProblem(error.details) ?? error.message;
    default:
      return error.message;
  }
}

/** What stands in the way of a file that the engine keeps, and what to do. */
function storageText({ details }: EngineError): string | undefined {
  const path = typeof details["path"] === "string" ? details["path"] : "";
  switch (details["reason"]) {
    case "not_a_database":
      return m.error_storage_damaged({ path });
    case "newer_version":
      return m.error_storage_newer({ path });
    case "locked":
      return m.error_storage_locked({ path });
    case "no_permission":
      return m.error_storage_read_only({ path });
    case "full":
      return m.error_storage_full({ path });
    case "damaged_messages":
      return m.error_storage_damaged_messages({ path });
    case "mended":
      return m.error_storage_mended({ path });
    case "set_aside":
      return m.error_storage_set_aside({
        path,
        aside: typeof details["aside"] === "string" ? details["aside"] : "",
      });
    default:
      return undefined;
  }
}

/** What stands in the way of a file that the person wants to have written, and what to do. */
function fileText({ details }: EngineError): string | undefined {
  const path = typeof details["path"] === "string" ? details["path"] : "";
  switch (details["reason"]) {
    case "full":
      return m.error_file_full({ path });
    case "no_permission":
      return m.error_file_read_only({ path });
    case "no_folder":
      return m.error_file_no_folder({ path });
    default:
      return undefined;
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
