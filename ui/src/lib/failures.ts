/**
 * Failures in words, in the window's language: what happened, why, and to whom. In: the typed failure and the URL
 * of its attempt. Out: sentences with its facts in them. Goes by codes and evidence, never by the engine's text,
 * which is English; for what only that text tells, it is handed on as a detail. Pure.
 */
import type { Failure } from "$lib/backend/types/Failure";
import type { FailureCode } from "$lib/backend/types/FailureCode";
import type { Stage } from "$lib/backend/types/Stage";
import { count, date } from "$lib/format";
import { m } from "$messages";

export interface FailureWords {
  /** What happened, in one short sentence without a full stop. */
  title: string;
  /** The same with host, port, file or certificate. */
  what: string;
  why: string;
  /** What the engine found beyond that, in its words. */
  detail: string | null;
}

type Words = (facts: Record<string, string>) => string;
const words = m as unknown as Record<string, Words | undefined>;

/** What happened, in one short sentence without a full stop. */
export function failureTitle(code: FailureCode): string {
  return m[`failure_${code}`]();
}

export function stageName(stage: Stage): string {
  return m[`stage_${stage}`]();
}

export function failureWords(failure: Failure, url: string): FailureWords {
  const facts = failureFacts(failure, url);
  const base = failure.evidence.internal === true ? "failure_internal" : `failure_${failure.code}`;
  const variant = variantOf(failure, url.slice(0, url.indexOf(":")));
  const say = (part: "what" | "why") =>
    ((variant && words[`${base}_${part}_${variant}`]) || words[`${base}_${part}`])?.(facts).trim() ?? "";
  const { reason_string } = failure.evidence;
  const said =
    typeof reason_string === "string" && reason_string ? m.failure_broker_says({ words: reason_string }) : "";
  const amid = facts.packet && variant !== "amid" ? words.failure_amid_packet?.(facts) : "";
  return {
    title: failureTitle(failure.code),
    what: say("what") || failure.message,
    why: [say("why") || failure.cause, amid, said, sleptWords(failure.evidence)].filter(Boolean).join(" "),
    detail: detailOf(failure),
  };
}

/** Codes whose sentence depends on more than the code, with every reading that has words of its own. */
export const VARIANTS = {
  proxy_target_unreachable: ["silent"],
  server_cert_unknown_issuer: ["rootless"],
  server_cert_pin_mismatch: ["same_key", "new_key", "authority", "server"],
  client_cert_required: ["unusable", "login", "request"],
  tls_version_unsupported: ["minimum"],
  alpn_refused: ["none"],
  peer_speaks_http: ["tls"],
  peer_speaks_mqtt: ["tls"],
  closed_during_tls: ["silent"],
  tls_timeout: ["silent"],
  tls_failed: ["name", "roots"],
  ws_unauthorized: ["certificate"],
  ws_redirected: ["nowhere"],
  closed_during_websocket: ["tls"],
  not_authorized: ["lost"],
  malformed_packet: ["ours"],
  closed_before_connack: ["tls", "websocket"],
  connack_timeout: ["silent"],
  connection_closed: ["at_once", "orderly"],
  client_id_duel: ["likely"],
  packet_too_large: ["theirs"],
  keep_alive_timeout: ["theirs", "amid", "standstill"],
} as const satisfies Partial<Record<FailureCode, readonly string[]>>;

type Variant = (typeof VARIANTS)[keyof typeof VARIANTS][number];

/** What a broken pin looks like, when the pinned certificate is known. */
function pinDifference({ pinned, presented }: Failure["evidence"]): Variant | null {
  if (!pinned || !presented) return null;
  const differs = (name: string) =>
    JSON.stringify((pinned as Record<string, unknown>)[name]) !==
    JSON.stringify((presented as Record<string, unknown>)[name]);
  if (differs("subject") || differs("sans")) return "server";
  if (differs("issuer")) return "authority";
  return differs("spki_sha256") ? "new_key" : "same_key";
}

/** Which reading of its code the evidence shows; null is the usual one. */
function variantOf({ code, stage, evidence }: Failure, scheme: string): Variant | null {
  const when = (condition: boolean, variant: Variant) => (condition ? variant : null);
  const silent = () => when(!("first_bytes_hex" in evidence), "silent");
  switch (code) {
    case "proxy_target_unreachable":
      return when(!("answer" in evidence), "silent");
    case "server_cert_unknown_issuer":
      return when(evidence.system_roots === 0, "rootless");
    case "server_cert_pin_mismatch":
      return pinDifference(evidence);
    case "client_cert_required":
      return (
        when(evidence.client_cert_set === true, "unusable") ??
        when(evidence.other_reading === "login", "login") ??
        when(evidence.other_reading === "request", "request")
      );
    case "tls_version_unsupported":
      return when(evidence.min_version === "1.3", "minimum");
    case "alpn_refused":
      return when(list(evidence.alpn_offered) === "", "none");
    case "peer_speaks_http":
    case "peer_speaks_mqtt":
      return when(stage === "tls", "tls");
    case "closed_during_tls":
    case "tls_timeout":
    case "connack_timeout":
      return silent();
    case "tls_failed":
      return when(evidence.alert === "unrecognized_name", "name") ?? when("error" in evidence, "roots");
    case "ws_unauthorized":
      return when(evidence.client_cert_was_sent === false, "certificate");
    case "ws_redirected":
      return when(!evidence.location, "nowhere");
    case "closed_during_websocket":
      return when(scheme === "wss", "tls");
    case "not_authorized":
      return when(evidence.packet === "DISCONNECT", "lost");
    case "malformed_packet":
      return when("reason_code" in evidence, "ours");
    case "closed_before_connack":
      return when(scheme.startsWith("ws"), "websocket") ?? when(scheme === "mqtts", "tls");
    case "connection_closed":
      return when("times" in evidence, "at_once") ?? when(evidence.ended === "closed", "orderly");
    case "client_id_duel":
      return when(evidence.certain === false, "likely");
    case "packet_too_large":
      return when("size" in evidence, "theirs");
    case "keep_alive_timeout":
      return (
        when("reason_code" in evidence, "theirs") ??
        when("packet_bytes" in evidence, "amid") ??
        when("silent_s" in evidence, "standstill")
      );
    default:
      return null;
  }
}

/** Everything that a sentence can name; empty where the evidence has nothing of the kind. */
export function failureFacts({ evidence }: Failure, url: string): Record<string, string> {
  const place = /^[a-z]*:\/\/(\[[^\]]*\]|[^:/?#]*)(?::(\d+))?([^#]*)/.exec(url);
  const [, host = "", port = "", path = ""] = place ?? [];
  const code = evidence.reason_code;
  const hex = typeof code === "number" ? ` (0x${code.toString(16).padStart(2, "0")})` : "";
  return {
    at: port ? `${host}:${port}` : host,
    host,
    port,
    path: path || "/",
    file: text(evidence.path),
    subject: text(evidence.subject ?? evidence.client_cert_sent),
    issuer: text(evidence.issuer ?? evidence.client_cert_issuer),
    names: list(evidence.sans, (name) => name.replace(/^(DNS|IP):/, "")),
    expected: text(evidence.expected),
    from: day(evidence.not_before),
    until: day(evidence.not_after),
    count: text(evidence.chain_length),
    name: text(evidence.name) || host,
    proxy: text(evidence.proxy),
    target: text(evidence.target),
    how: howRefused(evidence),
    ended: evidence.ended === "ConnectionReset" ? m.failure_ended_reset() : m.failure_ended_closed(),
    status: text(evidence.http_status ?? evidence.close_status),
    location: text(evidence.location),
    offered: text(evidence.offered) || list(evidence.alpn_offered),
    chosen: text(evidence.chosen),
    reason: `${text(evidence.reason)}${hex}`,
    client: text(evidence.client_id),
    rounds: text(evidence.rounds),
    times: text(evidence.times),
    idle: text(evidence.idle_s ?? evidence.silent_s),
    size: text(evidence.size),
    limit: text(evidence.limit),
    alert: text(evidence.alert),
    packet: number(evidence.packet_bytes),
    arrived: number(evidence.arrived_bytes),
    pace: evidence.bytes_per_second
      ? m.failure_pace({ speed: number(evidence.bytes_per_second) })
      : m.failure_pace_at_once(),
    server: text(evidence.server_reference) || m.failure_server_unnamed(),
  };
}

function sleptWords({ slept_s }: Failure["evidence"]): string {
  return typeof slept_s === "number" ? m.failure_slept({ seconds: slept_s }) : "";
}

/** How a server showed that it does not accept a client certificate. */
function howRefused(evidence: Failure["evidence"]): string {
  if (evidence.alert) return m.failure_how_alert({ alert: text(evidence.alert) });
  const status = text(evidence.http_status);
  return status ? m.failure_how_refused({ status }) : m.failure_how_closed();
}

/** Stages and codes of which the engine knows more than its evidence says. */
function detailOf({ stage, code, message, cause }: Failure): string | null {
  const both = [message, cause].filter((part, index, all) => part && all.indexOf(part) === index);
  if (stage === "identity" || code === "invalid_settings") return both.join(". ") || null;
  return code === "proxy_unreachable" || code === "proxy_protocol_error" || code === "ws_handshake_invalid"
    ? cause || null
    : null;
}

function text(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

function number(value: unknown): string {
  return typeof value === "number" ? count(value) : "";
}

function list(value: unknown, shown: (item: string) => string = (item) => item): string {
  return Array.isArray(value) ? value.map((item) => shown(text(item))).join(", ") : "";
}

function day(value: unknown): string {
  return typeof value === "number" ? date(value) : "";
}
