import { expect, test } from "vitest";
import { certificate, deviceCa, expired, now, server } from "../../../tests/fixtures/certificates";
import {
  authorityChecks,
  clientChecks,
  namesHost,
  pemOf,
  sentChecks,
  serverChecks,
  validityOf,
  validityPosition,
} from "./checks";

const DAY = 86_400_000_000;
const facts = { chain: [], keyMatches: true, keyEncrypted: false };
const said = (checks: { strong: string; tone: string }[]) =>
  checks.map(({ tone, strong }) => `${tone}: ${strong}`);

test("validity turns amber 30 days before the end", () => {
  expect(validityOf(certificate({ not_after: now + 31 * DAY }), now)).toBe("valid");
  expect(validityOf(certificate({ not_after: now + 29 * DAY }), now)).toBe("soon");
  expect(validityOf(expired, now)).toBe("expired");
  expect(validityOf(certificate({ not_before: now + DAY }), now)).toBe("not_yet");
  expect(validityPosition(certificate(), now)).toBeCloseTo(50, 0);
  expect(validityPosition(expired, now)).toBe(100);
});

test("an expired client certificate is said first, the matching key after it", () => {
  const checks = said(clientChecks(expired, facts, now));
  expect(checks[0]).toBe("err: Expired on 14 Mar 2026.");
  expect(checks).toContain("ok: Private key matches this certificate");
});

test("mismatch, encryption, wrong purpose and chain are named", () => {
  const mismatch = clientChecks(certificate(), { ...facts, keyMatches: false }, now);
  expect(mismatch[0]).toMatchObject({ tone: "err" });
  const encrypted = clientChecks(certificate(), { ...facts, keyMatches: null, keyEncrypted: true }, now);
  expect(encrypted[0]?.strong).toBe("The key is encrypted.");
  const purpose = clientChecks(certificate({ usages: ["serverAuth"] }), facts, now);
  expect(purpose[0]).toMatchObject({ tone: "warn", text: "serverAuth" });
  const leaf = certificate();
  const chained = said(clientChecks(leaf, { ...facts, chain: [leaf, deviceCa] }, now));
  expect(chained).toContain("ok: Sent with its issuers, 2 certificates in order");
});

test("names are compared with wildcards of one label", () => {
  expect(namesHost(server, "MQTT.fleet.example")).toBe(true);
  expect(namesHost(server, "a.plant.example")).toBe(true);
  expect(namesHost(server, "a.b.plant.example")).toBe(false);
  expect(namesHost(server, "plant.example")).toBe(false);
  expect(namesHost(server, "10.20.0.14")).toBe(true);
});

test("a server certificate for another host is an error", () => {
  expect(serverChecks(server, "other.example", now)[0]).toMatchObject({ tone: "err" });
  expect(serverChecks(server, "mqtt.fleet.example", now).every(({ tone }) => tone === "ok")).toBe(true);
});

test("what the server accepts is compared with the issuer", () => {
  expect(sentChecks(certificate(), true, now)[0]?.tone).toBe("ok");
  expect(sentChecks(certificate(), false, now)[0]?.tone).toBe("warn");
  expect(authorityChecks(certificate(), now)[0]?.tone).toBe("warn");
});

test("PEM has lines of 64", () => {
  const lines = pemOf(certificate()).trimEnd().split("\n");
  expect(lines[0]).toBe("-----BEGIN CERTIFICATE-----");
  expect(Math.max(...lines.slice(1, -1).map((line) => line.length))).toBe(64);
});
