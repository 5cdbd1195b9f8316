/** What an import says, in words. Pure. */
import { asEngineError } from "$lib/backend";
import type { ImportRemark } from "$lib/backend/types/ImportRemark";
import type { ImportRow } from "$lib/backend/types/ImportRow";
import type { VaultStatus } from "$lib/backend/types/VaultStatus";
import { endpointText } from "$lib/endpointwords";
import { errorText } from "$lib/report";
import { secretName } from "$lib/secrets";
import { m } from "$messages";

export function remarkText({ code, field, value, used, reason }: ImportRemark): string {
  if (code === "cannot_connect")
    return m.transfer_remark_cannot_connect({ used: reason ? endpointText(reason, value) : used });
  const named = value === "" ? field : `${field} (${value})`;
  return m[`transfer_remark_${code}`]({ field: named, value, used });
}

/** Whether the connection cannot come in because of it. */
export function isRefusal({ code }: ImportRemark): boolean {
  return code === "cannot_connect" || code === "no_endpoint";
}

/** Whether it is only said so that nothing is left out silently. */
export function isQuiet({ code }: ImportRemark): boolean {
  return code === "of_the_run" || code === "messages_left";
}

/** What comes in with a connection, besides its endpoint. */
export function factsOf(row: ImportRow): string[] {
  const facts = [];
  if (row.username) facts.push(m.transfer_user({ name: row.username }));
  if (row.secrets.length > 0)
    facts.push(m.transfer_secrets({ names: row.secrets.map(secretName).join(", ") }));
  if (row.client_certificate) facts.push(m.transfer_certificate());
  if (row.files.length > 0) facts.push(m.transfer_files({ names: row.files.join(", ") }));
  if (row.subscriptions.length > 0)
    facts.push(m.transfer_subscriptions({ filters: row.subscriptions.slice(0, 8).join(", ") }));
  return facts;
}

/** So many names are said. */
const NAMES = 5;

/** Names of connections in a sentence. */
export function namesText(names: string[]): string {
  const said = names.slice(0, NAMES).join(", ");
  return names.length > NAMES ? m.transfer_and_more({ names: said, n: names.length - NAMES }) : said;
}

/** A number of secrets. */
export function secretsText(count: number): string {
  return count === 1 ? m.vault_secrets_one() : m.vault_secrets({ count });
}

/** Where the secrets of an import are now. */
export function keptText({ keep, state }: Pick<VaultStatus, "keep" | "state">): string {
  if (keep === "session") return m.transfer_kept_session();
  if (keep === "never") return m.transfer_kept_never();
  const fine = state === "open" || state === "closed";
  if (!fine) return m.transfer_kept_waiting();
  return keep === "keyring" ? m.transfer_kept_keyring() : m.transfer_kept_passphrase();
}

/** Why a text cannot be imported. */
export function refusalText(thrown: unknown): string {
  const { details } = asEngineError(thrown);
  const { line, column } = details;
  const text = typeof details["place"] === "string" ? details["place"] : "";
  const place =
    typeof line === "number" && typeof column === "number" ? m.transfer_line({ line, column }) : text;
  switch (details["reason"]) {
    case "not_known":
    case "not_text":
      return m.transfer_not_known();
    case "damaged":
      return m.transfer_damaged({ place: place === "" ? "" : m.transfer_damaged_at({ place }) });
    case "empty":
      return m.transfer_empty();
    case "too_many":
      return m.transfer_too_many();
    case "unknown_version":
      return m.transfer_newer();
    default:
      return errorText(thrown);
  }
}

/** Whether it is only the passphrase that is missing, or wrong. */
export function wantsPassphrase(thrown: unknown): "missing" | "wrong" | null {
  const { code, details } = asEngineError(thrown);
  if (code === "passphrase_wrong") return "wrong";
  return details["reason"] === "passphrase_needed" ? "missing" : null;
}
