/**
 * Where the private key of a client certificate is, as `key_file` says it: in a file, in the vault, or on a token
 * (`pkcs11:` URI, RFC 7512). In: that text. Out: its parts, and the text again. Pure.
 */

/** What a form shows of a `pkcs11:` URI; `rest` is what else it says of token and key. */
export interface TokenKey {
  module: string;
  token: string;
  label: string;
  rest: string[];
}

export type KeyPlace = { kind: "file" } | { kind: "vault" } | ({ kind: "token" } & TokenKey);

const VAULT = /^\s*vault:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\s*$/i;
const TOKEN = /^\s*pkcs11:/i;

export function keyPlace(keyFile: string): KeyPlace {
  if (VAULT.test(keyFile)) return { kind: "vault" };
  return TOKEN.test(keyFile) ? { kind: "token", ...tokenKey(keyFile) } : { kind: "file" };
}

/** The parts of a URI; empty where it says nothing. */
export function tokenKey(uri: string): TokenKey {
  const [path = "", query = ""] = uri.trim().replace(TOKEN, "").split("?");
  const key: TokenKey = { module: "", token: "", label: "", rest: [] };
  for (const part of path.split(";").filter(Boolean)) {
    const [name, value] = attribute(part);
    if (name === "token") key.token = value;
    else if (name === "object") key.label = value;
    else key.rest.push(part);
  }
  for (const part of query.split("&")) {
    const [name, value] = attribute(part);
    if (name === "module-path") key.module = value;
  }
  return key;
}

export function tokenUri({ module, token, label, rest }: TokenKey): string {
  const parts = [
    ...(token ? [`token=${encode(token)}`] : []),
    ...(label ? [`object=${encode(label)}`] : []),
    ...rest,
  ];
  return `pkcs11:${parts.join(";")}?module-path=${encode(module).replaceAll("%2F", "/")}`;
}

/** Another token or another key: what narrowed down the former one goes. */
export function changed(
  key: TokenKey,
  change: Partial<Pick<TokenKey, "module" | "token" | "label">>,
): TokenKey {
  const gone =
    "label" in change && !("token" in change) ? ["id="] : ["serial=", "manufacturer=", "model=", "id="];
  const rest =
    "module" in change ? key.rest : key.rest.filter((part) => !gone.some((name) => part.startsWith(name)));
  return { ...key, ...change, rest };
}

function attribute(part: string): [string, string] {
  const at = part.indexOf("=");
  return at < 0 ? [part, ""] : [part.slice(0, at), decode(part.slice(at + 1))];
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** What is not UTF-8 stays as it is written. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
