/**
 * What the engine refuses, in words. In: an error's code, reason and facts. Out: a sentence in the window's language.
 * Goes by code and reason, never by the engine's sentence, which is English: that is only left for faults in
 * Heliograph itself. A reason without words fails the type check. Pure.
 */
import type { EngineError } from "$lib/backend";
import type { EndpointReason } from "$lib/backend/types/EndpointReason";
import type { ErrorReason } from "$lib/backend/types/ErrorReason";
import type { FailureCode } from "$lib/backend/types/FailureCode";
import type { FileError } from "$lib/backend/types/FileError";
import type { VaultStatus } from "$lib/backend/types/VaultStatus";
import { endpointText } from "$lib/endpointwords";
import { failureTitle } from "$lib/failures";
import { advice, stateText } from "$lib/vault";
import { m } from "$messages";

type Facts = Record<string, string>;

/** Reasons that say another thing of a database than of a file that a person named, or of an import. */
const OF_STORAGE: Partial<Record<ErrorReason, (facts: Facts) => string>> = {
  full: (facts) => m.error_storage_full(facts as never),
  no_permission: (facts) => m.error_storage_no_permission(facts as never),
  failed: (facts) => m.error_storage_failed(facts as never),
  damaged: (facts) => m.error_storage_damaged_connection(facts as never),
};

/** The same of a file that was to be read. */
const OF_READING: Partial<Record<ErrorReason, (facts: Facts) => string>> = {
  no_permission: (facts) => m.error_reading_no_permission(facts as never),
  failed: (facts) => m.error_reading_failed(facts as never),
};

export function errorWords(error: EngineError): string {
  const facts = factsOf(error.details);
  switch (error.code) {
    case "not_found":
      return reasonText(error, facts) ?? m.error_not_found();
    case "not_connected":
      return m.error_not_connected();
    case "already_connected":
      return m.error_already_connected();
    case "connection_lost":
      return m.error_connection_lost();
    case "refused":
      return m.error_refused({ reason: facts["reason"] ?? "", words: facts["reason_string"] ?? "" });
    case "passphrase_wrong":
      return m.error_passphrase_wrong();
    case "secret_needed":
      return m.error_secret_needed();
    case "vault_locked":
      return vaultText(error.details) ?? m.error_vault_locked();
    case "cancelled":
      return m.error_cancelled();
    case "connect_failed":
    case "internal":
      return m.error_internal({ error: error.message });
    default:
      return reasonText(error, facts) ?? error.message;
  }
}

function reasonText({ code, details }: EngineError, facts: Facts): string | null {
  const reason = details["reason"];
  if (typeof reason !== "string") return null;
  if (`endpoint_${reason}` in m) return endpointText(reason as EndpointReason, facts["value"] ?? "");
  if (reason === "file_unusable" && facts["failure"]) {
    const title = failureTitle(facts["failure"] as FailureCode);
    return facts["path"] ? `${facts["path"]}: ${title}` : title;
  }
  const known = reason as ErrorReason;
  const special =
    code === "storage" ? OF_STORAGE[known] : details["reading"] === true ? OF_READING[known] : undefined;
  if (special) return special(facts);
  return `error_${reason}` in m ? m[`error_${known}`](facts as never) : null;
}

function vaultText({ state, keep }: Record<string, unknown>): string | null {
  if (typeof state !== "string" || !(`vault_state_${state}` in m)) return null;
  const status = { state, keep } as Pick<VaultStatus, "state" | "keep">;
  return [stateText(status), advice(status)].filter(Boolean).join(m.sentence_joint());
}

/** A file that cannot be used, in words; its path is known where this is said. */
export function fileErrorText({ code }: FileError): string {
  return failureTitle(code);
}

/** What can stand in a sentence. */
function factsOf(details: Record<string, unknown>): Facts {
  const facts: Facts = {};
  for (const [name, value] of Object.entries(details)) {
    if (typeof value === "string" || typeof value === "number") facts[name] = String(value);
  }
  return facts;
}
