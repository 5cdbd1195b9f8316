/** Secrets as the window speaks of them: which ones, by what name, and how typed text stands for bytes. Pure. */
import type { Fix } from "$lib/backend/types/Fix";
import type { SecretEncoding } from "$lib/backend/types/SecretEncoding";
import type { SecretField } from "$lib/backend/types/SecretField";
import type { Settings } from "$lib/backend/types/Settings";
import { m } from "$messages";

/** What identifies a secret of a connection, as a text. */
export function secretKey(field: SecretField): string {
  return field.kind === "websocket_header" ? `${field.kind}:${field.name}` : field.kind;
}

export function secretName(field: SecretField): string {
  switch (field.kind) {
    case "password":
      return m.auth_password();
    case "key_passphrase":
      return m.prompt_passphrase();
    case "token_pin":
      return m.prompt_pin();
    case "private_key":
      return m.auth_key_file();
    case "proxy_password":
      return m.advanced_proxy_password();
    case "websocket_header":
      return m.prompt_header({ name: field.name });
  }
}

/** How a secret may be written, to choose from. */
export function encodings(): { value: SecretEncoding; label: string }[] {
  return [
    { value: "utf8", label: m.auth_encoding_utf8() },
    { value: "base64", label: m.auth_encoding_base64() },
    { value: "hex", label: m.auth_encoding_hex() },
  ];
}

/** Whether a typed secret stands for bytes in its encoding, so that it can be said before saving. */
export function isWritten(text: string, encoding: SecretEncoding): boolean {
  switch (encoding) {
    case "utf8":
      return true;
    case "base64":
      return text.trim().length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text.trim());
    case "hex":
      return /^([0-9a-f]{2})*$/i.test(text.replace(/\s/g, ""));
  }
}

/** What is wrong with a typed secret in its encoding. */
export function misspelling(text: string, encoding: SecretEncoding): string | null {
  if (isWritten(text, encoding)) return null;
  return encoding === "hex" ? m.auth_not_hex() : m.auth_not_base64();
}

/** The secrets of an error `secret_needed`. */
export function fieldsOf(details: Record<string, unknown>): SecretField[] {
  const { fields } = details;
  return Array.isArray(fields) ? (fields as SecretField[]) : [];
}

/**
 * The secrets that a fix asks to be typed again: those that these settings use already. None when there is
 * more to say than a secret, which is for the editor.
 */
export function secretsToRetype(fix: Fix, settings: Settings): SecretField[] {
  const { login, proxy, websocket, client_certificate } = settings;
  if (fix.kind === "enter_passphrase") return client_certificate.enabled ? [{ kind: "key_passphrase" }] : [];
  if (fix.kind !== "set_credentials") return [];
  switch (fix.change.target) {
    case "broker":
      return login.enabled && login.username !== "" ? [{ kind: "password" }] : [];
    case "proxy":
      return proxy.kind !== "none" && proxy.username !== "" ? [{ kind: "proxy_password" }] : [];
    case "token":
      return client_certificate.enabled ? [{ kind: "token_pin" }] : [];
    case "http": {
      const names = websocket.headers.filter(({ secret }) => secret).map(({ name }) => name.toLowerCase());
      return [...new Set(names)].map((name) => ({ kind: "websocket_header", name }));
    }
  }
}
