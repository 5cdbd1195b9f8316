/** Files dropped onto the editor, sorted by what is in them. In: paths. Out: changes of the draft, and words. */
import { backend } from "$lib/backend";
import { fileErrorText } from "$lib/errors";
import type { FileReport } from "$lib/backend/types/FileReport";
import type { ProfileDraft } from "$lib/backend/types/ProfileDraft";
import { fileName } from "$features/certificates";
import type { Toast } from "$lib/state/toasts.svelte";
import { m } from "$messages";

export type DroppedAs = "certificate" | "key" | "certificate_and_key" | "authority" | "nothing";

/** A key makes an identity; certificates without one are a CA's when the first of them says so. */
export function droppedAs({ certificates, key_type, key_encrypted, bundle }: FileReport): DroppedAs {
  // What is in a locked bundle shows later; an identity is what people keep in one.
  if (bundle && key_encrypted) return "certificate_and_key";
  const hasKey = key_type !== null || key_encrypted;
  const [first] = certificates;
  if (first && hasKey) return "certificate_and_key";
  if (hasKey) return "key";
  if (!first) return "nothing";
  return first.is_ca ? "authority" : "certificate";
}

/** Puts a file where it belongs and says where that was. Never touches the endpoint. */
export function placeFile(draft: ProfileDraft, report: FileReport): Toast {
  const placed = (text: () => string): Toast => ({ tone: "info", text });
  const { client_certificate: identity, trust } = draft.settings;
  const file = fileName(report.path);
  switch (droppedAs(report)) {
    case "certificate_and_key":
      identity.enabled = true;
      identity.cert_file = report.path;
      identity.key_file = "";
      return placed(() =>
        report.bundle && report.key_encrypted
          ? m.auth_dropped_bundle({ file })
          : m.auth_dropped_cert({ file }),
      );
    case "certificate":
      identity.enabled = true;
      identity.cert_file = report.path;
      return placed(() => m.auth_dropped_cert({ file }));
    case "key":
      identity.enabled = true;
      identity.key_file = report.path;
      return placed(() => m.auth_dropped_key({ file }));
    case "authority":
      if (!trust.ca_files.includes(report.path)) trust.ca_files.push(report.path);
      if (trust.mode === "ca_only" || trust.mode === "system_and_ca")
        return placed(() => m.auth_dropped_ca({ file }));
      trust.mode = "system_and_ca";
      return placed(() => m.auth_dropped_ca_trusted({ file }));
    case "nothing":
      return {
        tone: "warn",
        text: () =>
          report.error ? `${file}: ${fileErrorText(report.error)}` : m.auth_dropped_none({ file }),
      };
  }
}

export async function inspectFiles(paths: string[]): Promise<FileReport[]> {
  return Promise.all(paths.map((path) => backend.inspectFile(path)));
}
