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
  if (state.state === "paused") return m.recording_paused({ file });
  switch (kind) {
    case "export":
      return m.recording_exporting({ file });
    case "record":
      return m.recording_recording({ file });
    case "import":
      return m.recording_importing({ file });
    case "replay":
      return m.recording_replaying({ file });
  }
}

/** What it came to. */
export function ending(transfer: TransferStatus): Toast {
  const { state, counts } = transfer;
  const failed = state.state === "failed" ? state.error : null;
  const trouble = counts.refused + counts.lost + counts.unreadable + counts.earlier > 0;
  const fault = failed !== null && failed.code !== "cancelled";
  const tone = fault ? "err" : trouble ? "warn" : failed ? "info" : "ok";
  return { tone, text: () => endingText(transfer) };
}

function endingText({ kind, path, state, counts }: TransferStatus): string {
  const file = fileName(path);
  const said = [];
  const messages = count(counts.messages);
  const failed = state.state === "failed" ? state.error : null;
  if (kind === "export" && failed === null) said.push(m.recording_exported({ count: messages, file: path }));
  if (kind === "record") said.push(m.recording_recorded({ count: messages, file: path }));
  if (kind === "import" && failed === null) said.push(m.recording_imported({ count: messages, file }));
  if (kind === "replay") said.push(m.recording_replayed({ count: messages, file }));
  if (failed?.code === "cancelled" && kind === "export") said.push(m.recording_export_cancelled());
  else if (failed?.code === "cancelled" && kind === "import") said.push(m.recording_import_cancelled());
  else if (failed && failed.code !== "cancelled") said.push(errorText(failed));
  if (counts.damaged > 0) said.push(m.recording_damaged({ count: count(counts.damaged) }));
  if (counts.events > 0) said.push(m.recording_events({ count: count(counts.events) }));
  if (counts.refused > 0) said.push(m.recording_refused({ count: count(counts.refused) }));
  if (counts.lost > 0) said.push(m.recording_lost({ count: count(counts.lost) }));
  if (counts.unreadable > 0) said.push(m.recording_unreadable({ count: count(counts.unreadable) }));
  if (counts.earlier > 0) said.push(m.recording_earlier({ count: count(counts.earlier) }));
  const [first] = counts.problems;
  if (first) said.push(m.recording_line({ line: first.line, text: first.message }));
  return said.join(" ");
}
