/** What a file holds, in words. In: its report. Out: a few words. Pure. */
import type { FileReport } from "$lib/backend/types/FileReport";
import { fileErrorText } from "$lib/errors";
import { m } from "$messages";

export function holdsText(report: FileReport): string {
  const { error } = report;
  return contentsText(report) || (error ? fileErrorText(error) : m.holds_nothing());
}

/** The same where what is wrong with the file is said elsewhere; empty when it holds nothing that is known. */
export function contentsText(report: FileReport): string {
  const { certificates, key_type, key_encrypted, bundle, revocation_lists } = report;
  const parts = [
    ...contents(certificates.length, key_type, revocation_lists.length),
    key_encrypted && key_type === null ? (bundle ? m.holds_locked_bundle() : m.holds_locked_key()) : null,
  ].filter((part) => part !== null);
  return parts.join(m.list_joint());
}

/** Certificates, a key and revocation lists. */
export function contents(certificates: number, key_type: string | null, lists: number): string[] {
  return [
    certificates === 1 ? m.holds_certificate() : null,
    certificates > 1 ? m.holds_certificates({ n: certificates }) : null,
    key_type ? m.holds_key({ kind: key_type }) : null,
    lists > 0 ? m.holds_revocation_lists({ n: lists }) : null,
  ].filter((part) => part !== null);
}
