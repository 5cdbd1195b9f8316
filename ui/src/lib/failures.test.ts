import { readFileSync } from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import { setLocale } from "$runtime";
import type { Failure } from "$lib/backend/types/Failure";
import type { FailureCode } from "$lib/backend/types/FailureCode";
import { failureFacts, failureWords, VARIANTS } from "./failures";

/** As the Rust enum has them: the type is generated from it. */
const codes = [
  ...readFileSync("src/lib/backend/types/FailureCode.ts", "utf8").matchAll(/"([a-z0-9_]+)"/g),
].map(([, code]) => code as FailureCode);
const messages = (locale: string) =>
  JSON.parse(readFileSync(`messages/failures/${locale}.json`, "utf8")) as Record<string, string>;
const [en, zh] = [messages("en"), messages("zh")];
const placeholders = (text = "") => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();
const variants = Object.entries(VARIANTS).flatMap(([code, names]) =>
  names.map((name) => [code, name] as const),
);

const failure = (
  code: FailureCode,
  evidence: Failure["evidence"] = {},
  change: Partial<Failure> = {},
): Failure => ({
  stage: "mqtt",
  code,
  message: "in English",
  cause: "in English too",
  seen_during: "mqtt",
  evidence,
  fixes: [],
  retryable: false,
  ...change,
});

afterAll(() => setLocale("en", { reload: false }));

describe.each([
  ["en", en],
  ["zh", zh],
] as const)("in %s", (_locale, words) => {
  test("every failure code has its title, what happened and why", () => {
    expect(codes.length).toBeGreaterThan(90);
    const wanted = codes.flatMap((code) => ["", "_what", "_why"].map((part) => `failure_${code}${part}`));
    expect(wanted.filter((key) => !words[key]?.trim())).toEqual([]);
  });

  test("every reading of a code has words of its own", () => {
    const wanted = variants.flatMap(([code, name]) => [
      `failure_${code}_what_${name}`,
      `failure_${code}_why_${name}`,
    ]);
    expect(wanted.filter((key) => !words[key]?.trim())).toEqual([]);
  });

  test("a title is a title, sentences are sentences", () => {
    for (const code of codes) {
      expect(words[`failure_${code}`], code).not.toMatch(/[.。]$/);
      expect(words[`failure_${code}_what`], code).toMatch(/[.。]$/);
      expect(words[`failure_${code}_why`], code).toMatch(/[.。]$|\{how\}$/);
    }
  });
});

test("both languages say the same: the same keys, naming the same facts, which all exist", () => {
  expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort());
  const known = Object.keys(failureFacts(failure("cancelled"), "mqtt://a:1"));
  for (const [key, text] of Object.entries(en)) {
    expect(placeholders(zh[key]), key).toEqual(placeholders(text));
    if (/_(what|why)(_|$)/.test(key)) expect(known, key).toEqual(expect.arrayContaining(placeholders(text)));
  }
});

test("Chinese is Chinese", () => {
  const latin = Object.entries(zh).filter(([, text]) => !/\p{Script=Han}/u.test(text));
  expect(latin).toEqual([]);
});

test.each(["en", "zh"] as const)(
  "every code is told with its place, and nothing is left open, in %s",
  (locale) => {
    setLocale(locale, { reload: false });
    for (const code of codes) {
      const { what, why, title } = failureWords(
        failure(code, { path: "/certs/a.pem" }),
        "wss://plant.example:8084/mqtt",
      );
      expect(`${title} ${what} ${why}`, code).not.toMatch(/[{}]|undefined|in English/);
      if (!/^(certificate_missing|proxy_)/.test(code))
        expect(what, code).toMatch(/plant\.example|\/certs\/a\.pem/);
    }
  },
);

test("facts stand in the sentence in the window's language", () => {
  const expired = failure(
    "server_cert_expired",
    { subject: "CN=plant", not_after: new Date(2026, 2, 14, 9).getTime() * 1000 },
    { stage: "tls" },
  );
  setLocale("en", { reload: false });
  expect(failureWords(expired, "mqtts://plant.example:8883")).toMatchObject({
    what: "The certificate of plant.example:8883 has expired.",
    why: "CN=plant was valid until 14 Mar 2026; the server needs a new one, or this computer's clock is wrong.",
  });
  setLocale("zh", { reload: false });
  const { what, why } = failureWords(expired, "mqtts://plant.example:8883");
  expect(what).toBe("plant.example:8883 的证书已过期。");
  expect(why).toContain("CN=plant 的有效期到 2026年3月14日 为止");
});

test("a broker's own words and reason code are kept", () => {
  setLocale("en", { reload: false });
  const evidence = {
    reason_code: 0x9d,
    reason: "Server moved",
    reason_string: "gone",
    server_reference: "b2:1883",
  };
  const { what, why } = failureWords(failure("server_moved", evidence), "mqtt://[fe80::1]:1883");
  expect(what).toBe("[fe80::1]:1883 has moved to another server: b2:1883.");
  expect(why).toBe("The broker hands its clients on for good. The broker says: gone");
  const other = failure("server_disconnected", { reason_code: 0x98, reason: "Administrative action" });
  expect(failureWords(other, "mqtt://a:1").what).toBe(
    "a:1 ended the connection: Administrative action (0x98).",
  );
});

describe("the evidence decides the reading", () => {
  const cases: [FailureCode, Failure["evidence"], string, Failure["stage"], string][] = [
    ["closed_during_tls", {}, "mqtts", "tls", "Not one byte"],
    ["closed_during_tls", { first_bytes_hex: "16" }, "mqtts", "tls", "The server answered in TLS"],
    ["closed_before_connack", {}, "mqtt", "mqtt", "wants TLS, or WebSocket"],
    ["closed_before_connack", {}, "mqtts", "mqtt", "TLS stands"],
    ["closed_before_connack", {}, "wss", "mqtt", "The WebSocket stands"],
    ["peer_speaks_http", {}, "mqtts", "tls", "TLS handshake"],
    ["peer_speaks_http", {}, "mqtt", "mqtt", "CONNECT"],
    ["not_authorized", { packet: "DISCONNECT" }, "mqtt", "mqtt", "took its permission away"],
    ["not_authorized", { packet: "CONNACK" }, "mqtt", "mqtt", "MQTT 3.1.1 brokers"],
    ["tls_failed", { alert: "unrecognized_name" }, "mqtts", "tls", "(SNI)"],
    [
      "client_cert_required",
      { alert: "certificate_required" },
      "mqtts",
      "tls",
      "TLS alert certificate_required",
    ],
    ["client_cert_required", { http_status: 400 }, "wss", "tls", "HTTP 400"],
    ["client_cert_required", { client_cert_set: true }, "wss", "tls", "none of the signature algorithms"],
    ["tls_failed", { internal: true }, "mqtts", "tls", "a fault of Heliograph"],
  ];
  test.each(cases)("%s with %o over %s", (code, evidence, scheme, stage, said) => {
    setLocale("en", { reload: false });
    expect(failureWords(failure(code, evidence, { stage }), `${scheme}://a:1`).why).toContain(said);
  });
});

test("what only the engine's text tells is handed on, and only that", () => {
  const file = failure(
    "key_mismatch",
    { path: "/k" },
    { stage: "identity", message: "No match", cause: "P-256, not RSA" },
  );
  expect(failureWords(file, "mqtts://a:1").detail).toBe("No match. P-256, not RSA");
  expect(failureWords(failure("banned"), "mqtt://a:1").detail).toBeNull();
});
