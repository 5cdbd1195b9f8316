/** What there is to say of messages on their way into files and back. Pure. */
import type { TransferStatus } from "$lib/backend/types/TransferStatus";
import { count } from "$lib/format";
import { errorText } from "$lib/report";
import type { Toast } from "$lib/state/toasts.svelte";
import { m } from "$messages";

/** The file without its folder. */
export function fileName(path: string): string {
  return path.split(/[/\\]/).at(-1) ?? path;
}

/** What it does, to which file. */
export function doing({ kind, path, state }: TransferStatus): string {
  const file = fileName(path);
  if (state.state === "paused") return m.transfer_paused({ file });
  switch (kind) {
    case "export":
      return m.transfer_exporting({ file });
    case "record":
      return m.transfer_recording({ file });
    case "import":
      return m.transfer_importing({ file });
    case "replay":
      return m.transfer_replaying({ file });
  }
}

/** What it came to. */
export function ending({ kind, path, state, counts }: TransferStatus): Toast {
  const file = fileName(path);
  const said = [];
  const messages = count(counts.messages);
  const failed = state.state === "failed" ? state.error : null;
  if (kind === "export" && failed === null) said.push(m.transfer_exported({ count: messages, file: path }));
  if (kind === "record") said.push(m.transfer_recorded({ count: messages, file: path }));
  if (kind === "import" && failed === null) said.push(m.transfer_imported({ count: messages, file }));
  if (kind === "replay") said.push(m.transfer_replayed({ count: messages, file }));
  if (failed?.code === "cancelled" && kind === "export") said.push(m.transfer_export_cancelled());
  else if (failed?.code === "cancelled" && kind === "import") said.push(m.transfer_import_cancelled());
  else if (failed && failed.code !== "cancelled") said.push(errorText(failed));
  if (counts.events > 0) said.push(m.transfer_events({ count: count(counts.events) }));
  if (counts.refused > 0) said.push(m.transfer_refused({ count: count(counts.refused) }));
  if (counts.lost > 0) said.push(m.transfer_lost({ count: count(counts.lost) }));
  if (counts.unreadable > 0) said.push(m.transfer_unreadable({ count: count(counts.unreadable) }));
  if (counts.earlier > 0) said.push(m.transfer_earlier({ count: count(counts.earlier) }));
  const [first] = counts.problems;
  if (first) said.push(m.transfer_line({ line: first.line, text: first.message }));
  const trouble = counts.refused + counts.lost + counts.unreadable + counts.earlier > 0;
  const fault = failed !== null && failed.code !== "cancelled";
  return { tone: fault ? "err" : trouble ? "warn" : failed ? "info" : "ok", text: said.join(" ") };
}
