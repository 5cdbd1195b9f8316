/** Every fact that a stage recorded, named in the window's language; for the blocks and for the report. Pure. */
import type { Connack } from "$lib/backend/types/Connack";
import type { StageReport } from "$lib/backend/types/StageReport";
import type { TcpAttempt } from "$lib/backend/types/TcpAttempt";
import { bytes, count, duration } from "$lib/format";
import { versionName } from "$lib/mqtt/words";
import { m } from "$messages";
import { attemptWords, holds, remarks, trustWords } from "./words";

export interface Fact {
  label: string;
  /** One line each. */
  lines: { text: string; note?: string }[];
  /** Set in the fixed-width face: what came from the wire or goes onto it. */
  mono: boolean;
}

export function facts(report: StageReport): Fact[] {
  const list: Fact[] = [];
  const add = (label: string, value: Line | Line[] | null | undefined, mono = false) => {
    const lines = (Array.isArray(value) ? value : [value]).flatMap((line) => {
      if (line === null || line === undefined || line === "") return [];
      return [typeof line === "string" ? { text: line } : line];
    });
    if (lines.length > 0) list.push({ label, lines, mono });
  };
  switch (report.stage) {
    case "identity":
      for (const file of report.detail.files) {
        add(
          roleName(file.role),
          { text: file.path, note: [file.format.toUpperCase(), holds(file)].filter(Boolean).join(", ") },
          true,
        );
      }
      add(m.fact_key_matches(), yesNo(report.detail.key_matches));
      for (const remark of remarks(report.detail)) add(m.fact_warning(), remark);
      break;
    case "dns":
      add(m.fact_name(), report.detail.name, true);
      add(m.fact_answers(), report.detail.addresses, true);
      add(m.fact_resolver(), resolverName(report.detail.resolver));
      break;
    case "tcp":
      add(m.fact_remote(), report.detail.remote, true);
      add(m.fact_local(), report.detail.local, true);
      add(m.fact_attempts(), report.detail.attempts.map(attemptLine), true);
      break;
    case "proxy": {
      const { kind, address, target, asked_credentials, sent_credentials, answer } = report.detail;
      add(m.fact_kind(), kind);
      add(m.fact_address(), address, true);
      add(m.fact_target(), target, true);
      add(m.fact_credentials(), credentials(asked_credentials, sent_credentials));
      add(m.fact_answer(), answer, true);
      break;
    }
    case "tls": {
      const tls = report.detail;
      add(m.fact_version(), tls.version);
      add(m.fact_cipher(), tls.cipher_suite, true);
      add(m.fact_key_exchange(), tls.key_exchange, true);
      const offered = tls.alpn_offered.join(", ");
      add(
        m.fact_alpn(),
        offered || tls.alpn_chosen
          ? { text: tls.alpn_chosen ?? m.fact_none(), note: m.fact_alpn_offered({ names: offered || "–" }) }
          : m.fact_none(),
        Boolean(tls.alpn_chosen),
      );
      add(m.fact_server_name(), tls.sni ?? m.fact_none(), tls.sni !== null);
      if (tls.verified === null) add(m.fact_trust(), trustWords(tls));
      else {
        const said = { how: trustWords(tls) };
        add(m.fact_trust(), tls.verified ? m.fact_trust_verified(said) : m.fact_trust_refused(said));
      }
      if (tls.version) add(m.fact_resumed(), tls.resumed ? m.fact_yes() : m.fact_resumed_no());
      add(m.fact_alert(), tls.alert, true);
      break;
    }
    case "websocket": {
      const { request, status, reason, subprotocol, body } = report.detail;
      add(m.fact_request(), request, true);
      add(m.fact_response(), status === null ? null : `${status} ${reason ?? ""}`.trim(), true);
      add(m.fact_subprotocol(), subprotocol ?? (status === 101 ? m.fact_none() : null), subprotocol !== null);
      add(m.fact_body(), body, true);
      break;
    }
    case "mqtt": {
      const mqtt = report.detail;
      if (mqtt.connack) connackFacts(mqtt.connack, add);
      add(m.fact_version(), `MQTT ${versionName(mqtt.version)}`);
      add(m.fact_client_id(), mqtt.client_id || m.fact_none(), mqtt.client_id !== "");
      add(m.fact_clean_start(), yesNo(mqtt.clean_start));
      add(m.fact_keep_alive(), m.fact_seconds({ n: mqtt.keep_alive_s }));
      add(m.fact_user_name(), sentOrNone(mqtt.username_sent));
      add(m.fact_password(), sentOrNone(mqtt.password_sent));
      add(m.fact_will(), sentOrNone(mqtt.will_sent));
      break;
    }
  }
  return list;
}

type Line = string | { text: string; note?: string } | null | undefined;
type Add = (label: string, value: Line | Line[], mono?: boolean) => void;

/** `0x87 Not authorized` */
export function reasonText(code: number, reason: string): string {
  return `0x${code.toString(16).padStart(2, "0").toUpperCase()} ${reason}`;
}

function connackFacts(connack: Connack, add: Add): void {
  const number = (value: number | null) => (value === null ? null : count(value));
  add(m.fact_connack(), reasonText(connack.code, connack.reason), true);
  add(m.fact_reason_string(), connack.reason_string, true);
  add(m.fact_session_present(), yesNo(connack.session_present));
  add(m.fact_assigned_client_id(), connack.assigned_client_id, true);
  add(m.fact_session_expiry(), expiry(connack.session_expiry_s));
  add(m.fact_receive_maximum(), number(connack.receive_maximum));
  add(m.fact_maximum_qos(), number(connack.maximum_qos));
  add(
    m.fact_maximum_packet_size(),
    connack.maximum_packet_size === null ? null : bytes(connack.maximum_packet_size),
  );
  add(m.fact_topic_alias_maximum(), number(connack.topic_alias_maximum));
  add(
    m.fact_server_keep_alive(),
    connack.server_keep_alive_s === null ? null : m.fact_seconds({ n: connack.server_keep_alive_s }),
  );
  add(m.fact_retain_available(), yesNo(connack.retain_available));
  add(m.fact_wildcard_available(), yesNo(connack.wildcard_available));
  add(m.fact_subscription_ids_available(), yesNo(connack.subscription_ids_available));
  add(m.fact_shared_available(), yesNo(connack.shared_available));
  add(m.fact_response_information(), connack.response_information, true);
  add(m.fact_server_reference(), connack.server_reference, true);
  add(m.fact_authentication_method(), connack.authentication_method, true);
  for (const { name, value } of connack.user_properties) {
    add(m.fact_user_property(), `${name}: ${value}`, true);
  }
}

function attemptLine({ address, result, errno, micros }: TcpAttempt): Line {
  const number = errno === null ? "" : `, ${m.fact_errno({ n: errno })}`;
  return { text: address, note: `${attemptWords(result)}${number}, ${duration(micros)}` };
}

function expiry(seconds: number | null): string | null {
  if (seconds === null) return null;
  return seconds === 4294967295 ? m.fact_expiry_never() : m.fact_seconds({ n: count(seconds) });
}

function yesNo(value: boolean | null): string | null {
  if (value === null) return null;
  return value ? m.fact_yes() : m.fact_no();
}

function sentOrNone(sent: boolean): string {
  return sent ? m.fact_sent() : m.fact_none();
}

function roleName(role: string): string {
  if (role === "key") return m.fact_role_key();
  if (role === "crl") return m.trust_crl_file();
  return role === "ca" ? m.fact_role_ca() : m.fact_role_certificate();
}

function resolverName(resolver: string): string {
  switch (resolver) {
    case "system":
      return m.fact_resolver_system();
    case "proxy":
      return m.fact_resolver_proxy();
    case "none":
      return m.fact_resolver_none();
    default:
      return resolver;
  }
}

function credentials(asked: boolean, sent: boolean): string {
  if (asked) return sent ? m.fact_credentials_asked_sent() : m.fact_credentials_asked();
  return sent ? m.fact_credentials_sent() : m.fact_credentials_none();
}
