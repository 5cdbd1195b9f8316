/**
 * What a failure's fix does to a connection. In: a draft and the fix. Out: another draft, and the list of
 * what differs. Never touches authentication for a change of transport, nor the transport for one of
 * authentication.
 */
import type { Fix } from "$lib/backend/types/Fix";
import type { ProbeAttempt } from "$lib/backend/types/ProbeAttempt";
import type { ProfileDraft } from "$lib/backend/types/ProfileDraft";
import { switchesOf, urlPieces, urlText } from "$lib/endpoint";

/** The draft with the fix in it; the same draft where a person has to say more. `caFile` is for `add_trust`. */
export function applyFix(draft: ProfileDraft, fix: Fix, caFile?: string): ProfileDraft {
  const next = structuredClone(draft);
  const { endpoint, settings } = next;
  switch (fix.kind) {
    case "set_transport":
      Object.assign(endpoint, switchesOf(fix.change.transport));
      if (fix.change.port !== undefined) endpoint.port = String(fix.change.port);
      break;
    case "set_port":
      if (fix.change.port !== undefined) endpoint.port = String(fix.change.port);
      break;
    case "set_path":
      endpoint.path = fix.change.path;
      break;
    case "set_server":
      if (fix.change.server !== undefined) setServer(endpoint, fix.change.server);
      break;
    case "add_trust": {
      const { mode, pinned_sha256, pinned_certificate, verify_host_name } = fix.change;
      settings.trust.mode = mode;
      if (pinned_sha256 !== undefined) settings.trust.pinned_sha256 = pinned_sha256;
      if (pinned_certificate !== undefined) settings.trust.pinned_certificate = pinned_certificate;
      if (verify_host_name !== undefined) settings.trust.verify_host_name = verify_host_name;
      if (caFile && !settings.trust.ca_files.includes(caFile)) settings.trust.ca_files.push(caFile);
      break;
    }
    case "choose_identity": {
      const certificate = settings.client_certificate;
      if (fix.change.swap) {
        [certificate.cert_file, certificate.key_file] = [certificate.key_file, certificate.cert_file];
      }
      certificate.enabled = !fix.change.disable;
      break;
    }
    case "set_version":
      settings.session.version = fix.change.version;
      break;
    case "set_credentials":
      if (fix.change.target === "broker") settings.login.enabled = true;
      break;
    case "set_client_id":
      settings.session.client_id = fix.change.client_id;
      break;
    case "set_keep_alive":
      settings.session.keep_alive_s = fix.change.keep_alive_s;
      break;
    case "set_maximum_packet_size":
      settings.session.maximum_packet_size = fix.change.bytes;
      break;
    case "enter_passphrase":
    case "probe_port":
    case "retry":
      break;
  }
  return next;
}

/** The draft with what a probe found: transport, port, path and MQTT version; authentication and trust stay. */
export function withAnswer(draft: ProfileDraft, found: ProbeAttempt): ProfileDraft {
  const next = structuredClone(draft);
  const { endpoint, settings } = next;
  // The port that was asked stays, also where it was only implied by the former transport.
  endpoint.port = urlPieces(endpoint).port;
  Object.assign(endpoint, switchesOf(found.transport));
  if (endpoint.websocket) endpoint.path = found.path;
  // Behind a demand for a certificate no version was heard.
  if (found.answer !== "client_certificate") settings.session.version = found.version;
  return next;
}

/** Whether the fix says all there is to say, so that one click can apply it and try again. */
export function isOneClick(fix: Fix): boolean {
  switch (fix.kind) {
    case "set_transport":
    case "set_path":
    case "set_version":
    case "set_client_id":
    case "set_keep_alive":
    case "set_maximum_packet_size":
    case "retry":
      return true;
    case "set_port":
      return fix.change.port !== undefined;
    case "add_trust":
      return fix.change.mode === "pinned" && fix.change.pinned_sha256 !== undefined;
    default:
      return false;
  }
}

/** Whether the fix needs a file with CA certificates first. */
export function needsCaFile(fix: Fix): boolean {
  return (
    fix.kind === "add_trust" &&
    fix.change.verify_host_name === undefined &&
    (fix.change.mode === "ca_only" || fix.change.mode === "system_and_ca")
  );
}

/** The field of the editor that a fix is about, in the same spelling as `Problem.field`. */
export function fieldOf(fix: Fix): string {
  switch (fix.kind) {
    case "set_transport":
      return "endpoint";
    case "set_port":
      return "endpoint.port";
    case "set_path":
      return "endpoint.path";
    case "set_server":
      return "endpoint.host";
    case "add_trust":
      if (fix.change.verify_host_name !== undefined) return "settings.trust.verify_host_name";
      return fix.change.mode === "pinned" ? "settings.trust.pinned_sha256" : "settings.trust.ca_files";
    case "choose_identity":
      return "settings.client_certificate.cert_file";
    case "enter_passphrase":
      return "settings.client_certificate.passphrase";
    case "set_version":
      return "settings.session.version";
    case "set_credentials":
      return {
        broker: "settings.login.username",
        proxy: "settings.proxy.username",
        http: "settings.websocket.headers",
        token: "settings.client_certificate.pin",
      }[fix.change.target];
    case "set_client_id":
      return "settings.session.client_id";
    case "set_keep_alive":
      return "settings.session.keep_alive_s";
    case "set_maximum_packet_size":
      return "settings.session.maximum_packet_size";
    case "probe_port":
    case "retry":
      return "endpoint";
  }
}

/** What a fix changes; the window has a word for each. */
export type ChangedField =
  | "url"
  | "trust"
  | "pin"
  | "host_name"
  | "ca_files"
  | "client_certificate"
  | "certificate_file"
  | "key_file"
  | "version"
  | "client_id"
  | "keep_alive"
  | "packet_size"
  | "login";

export interface Change {
  field: ChangedField;
  from: string;
  to: string;
}

/** Exactly what differs between two drafts, as far as fixes can change it. */
export function changesBetween(before: ProfileDraft, after: ProfileDraft): Change[] {
  const changes: [ChangedField, string, string][] = [];
  const compare = (field: ChangedField, read: (draft: ProfileDraft) => unknown) =>
    changes.push([field, String(read(before)), String(read(after))]);
  compare("url", ({ endpoint }) => urlText(endpoint));
  compare("trust", ({ settings }) => settings.trust.mode);
  compare("pin", ({ settings }) => settings.trust.pinned_sha256);
  compare("host_name", ({ settings }) => settings.trust.verify_host_name);
  compare("ca_files", ({ settings }) => settings.trust.ca_files.join(", "));
  compare("client_certificate", ({ settings }) => settings.client_certificate.enabled);
  compare("certificate_file", ({ settings }) => settings.client_certificate.cert_file);
  compare("key_file", ({ settings }) => settings.client_certificate.key_file);
  compare("version", ({ settings }) => settings.session.version);
  compare("client_id", ({ settings }) => settings.session.client_id);
  compare("keep_alive", ({ settings }) => settings.session.keep_alive_s);
  compare("packet_size", ({ settings }) => settings.session.maximum_packet_size ?? "");
  compare("login", ({ settings }) => settings.login.enabled);
  return changes.filter(([, from, to]) => from !== to).map(([field, from, to]) => ({ field, from, to }));
}

/** `host`, `host:port`, `[v6]:port`, as brokers write a Server Reference (MQTT 5, 4.11). */
function setServer(endpoint: ProfileDraft["endpoint"], server: string): void {
  const [first = ""] = server.trim().split(/\s+/);
  const match = /^(\[[^\]]+\]|[^:]+)(?::(\d+))?$/.exec(first);
  endpoint.host = match?.[1] ?? first;
  if (match?.[2]) endpoint.port = match[2];
}
