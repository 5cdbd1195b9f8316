/**
 * Facts of a trace in the window's language. In: the facts, beside what the engine says of them in English. Out: words;
 * the engine's where an earlier version kept no facts. Pure.
 */
import type { IdentityDetail } from "$lib/backend/types/IdentityDetail";
import type { IdentityFile } from "$lib/backend/types/IdentityFile";
import type { IdentityRemark } from "$lib/backend/types/IdentityRemark";
import type { TlsDetail } from "$lib/backend/types/TlsDetail";
import type { LogLine } from "$lib/backend/types/LogLine";
import type { Trace } from "$lib/backend/types/Trace";
import type { TrustRule } from "$lib/backend/types/TrustRule";
import { failureWords } from "$lib/failures";
import { contents } from "$lib/holds";
import { m } from "$messages";

/** What deserves a look in the files of an identity. */
export function remarks({ remarks, warnings }: IdentityDetail): string[] {
  return remarks.length > 0 ? remarks.map(remarkWords) : warnings;
}

function remarkWords(remark: IdentityRemark): string {
  switch (remark.remark) {
    case "expired": {
      const facts = { name: remark.name, time: days(remark.days) };
      return remark.leaf ? m.remark_expired(facts) : m.remark_issuer_expired(facts);
    }
    case "not_yet_valid": {
      const facts = { name: remark.name, time: days(remark.days) };
      return remark.leaf ? m.remark_not_yet_valid(facts) : m.remark_issuer_not_yet_valid(facts);
    }
    case "ends_soon": {
      const facts = { name: remark.name, time: days(remark.days) };
      return remark.leaf ? m.remark_ends_soon(facts) : m.remark_issuer_ends_soon(facts);
    }
    case "not_for_clients":
      return m.remark_not_for_clients({ name: remark.name });
    case "is_authority":
      return m.remark_is_authority({ name: remark.name });
    case "unused":
      return m.remark_unused({ names: remark.names.join(", ") });
    case "not_sent":
      return m.remark_not_sent({ url: remark.url });
  }
}

function days(n: number): string {
  if (n === 0) return m.remark_days_none();
  return n === 1 ? m.remark_days_one() : m.remark_days({ n });
}

/** How the server was judged. */
export function trustWords({ trust, trust_rule }: TlsDetail): string {
  return trust_rule ? ruleWords(trust_rule) : trust;
}

function ruleWords(rule: TrustRule): string {
  const files = rule.ca_files.join(", ");
  const words = {
    system: m.trust_by_system,
    system_and_ca: files ? () => m.trust_by_system_and_ca({ files }) : m.trust_by_system,
    ca_only: () => m.trust_by_ca_only({ files }),
    pinned: m.trust_by_pin,
    insecure: m.trust_by_nothing,
  }[rule.mode]();
  const named = rule.verify_host_name || rule.mode === "pinned" || rule.mode === "insecure";
  return named ? words : m.trust_by_any_name({ words });
}

/** What a file holds. */
export function holds(file: IdentityFile): string {
  return holdsSo({ ...file, certificates: file.certificates.length });
}

interface Held {
  path: string;
  certificates: number;
  key_type: string | null;
  revocation_lists: number;
  found: string;
}

function holdsSo({ path, certificates, key_type, revocation_lists, found }: Held): string {
  const parts = contents(certificates, key_type, revocation_lists);
  if (parts.length > 0) return parts.join(m.list_joint());
  // Of a token the engine tells its name, of a file what is in it, in English.
  return path.startsWith("pkcs11:") ? found : m.holds_nothing();
}

/** What came of trying an address. The engine's words for it are few and stable; others are the system's own. */
export function attemptWords(result: string): string {
  switch (result) {
    case "connected":
      return m.attempt_connected();
    case "abandoned":
      return m.attempt_abandoned();
    case "refused":
      return m.attempt_refused();
    case "no answer":
      return m.attempt_silent();
    case "network unreachable":
      return m.attempt_network_unreachable();
    case "host unreachable":
      return m.attempt_host_unreachable();
    case "not permitted":
      return m.attempt_not_permitted();
    default:
      return result;
  }
}

/** A line of the log; those in a protocol's own words stay as they are. */
export function logWords({ text, note }: LogLine, { url, end }: Trace): string {
  switch (note?.note) {
    case "look_up":
      return m.log_look_up({ name: note.name });
    case "look_up_proxy":
      return m.log_look_up_proxy({ name: note.name });
    case "file":
      return `${note.path}: ${holdsSo(note)}`;
    case "remark":
      return remarkWords(note.remark);
    case "tried":
      return `${note.address} ${attemptWords(note.result)}`;
    case "delayed":
      return m.log_delayed({ error: note.error });
    case "tunnel":
      return m.log_tunnel({ kind: note.kind, target: note.target });
    case "asked":
      return m.log_asked({ n: note.issuers });
    case "chain":
      return m.log_chain({ n: note.certificates });
    case "sent":
      return m.log_sent({ subject: note.subject });
    case "accepted":
      return m.log_accepted({ how: note.rule ? ruleWords(note.rule) : note.by });
    case "no_subprotocol":
      return m.log_no_subprotocol({ offered: note.offered });
    case "connect":
      return m.log_connect({ client: note.client_id });
    case "made_up":
      return m.log_made_up({ client: note.client_id });
    case "failed":
      return m.log_failed();
    case "lost":
      return m.log_lost({ what: end?.failure ? failureWords(end.failure, url).what : note.message });
    case "ended":
      return m.log_ended();
    default:
      return text;
  }
}
