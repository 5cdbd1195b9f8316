import { readFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { setLocale } from "$runtime";
import type { IdentityRemark } from "$lib/backend/types/IdentityRemark";
import type { LogNote } from "$lib/backend/types/LogNote";
import type { Trace } from "$lib/backend/types/Trace";
import { attemptWords, holds, logWords, remarks, trustWords } from "./words";

afterAll(() => setLocale("en", { reload: false }));

/** Letters of English words; names, numbers and what the protocols call things are left. */
const english = (text: string) =>
  text
    .replace(
      /press-7|wss?:\/\/\S+|clientAuth|CONNECT|CertificateRequest|TCP_NODELAY|http|\bID\b|MQTT|\bCA\b|TLS|ca\.pem|RSA/g,
      "",
    )
    .match(/[a-z]{2,}/gi) ?? [];

test("every fact of a trace that was English is said in the window's language", () => {
  setLocale("zh", { reload: false });
  const name = "press-7";
  const all: IdentityRemark[] = [
    ...[true, false].flatMap((leaf) =>
      [0, 1, 30].flatMap((days): IdentityRemark[] => [
        { remark: "expired", name, leaf, days },
        { remark: "not_yet_valid", name, leaf, days },
        { remark: "ends_soon", name, leaf, days },
      ]),
    ),
    { remark: "not_for_clients", name },
    { remark: "is_authority", name },
    { remark: "unused", names: [name] },
    { remark: "not_sent", url: "ws://a" },
  ];
  const kinds = [
    ...readFileSync("src/lib/backend/types/IdentityRemark.ts", "utf8").matchAll(/"remark": "(\w+)"/g),
  ].map(([, kind]) => kind);
  expect(new Set(all.map(({ remark }) => remark))).toEqual(new Set(kinds));
  const said = remarks({ files: [], key_matches: null, warnings: ["in English"], remarks: all });
  expect(said.flatMap(english)).toEqual([]);
  expect(new Set(said).size).toBe(all.length);
  expect(remarks({ files: [], key_matches: null, warnings: ["of old"], remarks: [] })).toEqual(["of old"]);

  const modes = ["system", "system_and_ca", "ca_only", "pinned", "insecure"] as const;
  for (const mode of modes) {
    for (const verify_host_name of [true, false]) {
      const trust_rule = { mode, ca_files: ["ca.pem"], verify_host_name };
      const words = trustWords({ trust: "in English", trust_rule } as Parameters<typeof trustWords>[0]);
      expect(english(words), mode).toEqual([]);
    }
  }
  const results = ["connected", "abandoned", "refused", "no answer", "network unreachable"];
  expect([...results, "host unreachable", "not permitted"].map(attemptWords).flatMap(english)).toEqual([]);

  const empty = { path: "a", format: "pem", found: "as it was found", certificates: [], revocation_lists: 0 };
  const file = { role: "key", ...empty };
  expect(english(holds({ ...file, key_type: "RSA" }))).toEqual([]);
  expect(english(holds({ ...file, key_type: null }))).toEqual([]);
  // A revocation list is something that can be used.
  expect(holds({ ...file, key_type: null, revocation_lists: 1 })).toContain("1");
  // The name of a token is its own.
  expect(holds({ ...file, path: "pkcs11:token=a", key_type: null })).toBe("as it was found");
});

test("so are the lines of its log that are sentences", () => {
  setLocale("zh", { reload: false });
  const file = {
    path: "ws://a",
    certificates: 2,
    key_type: "RSA",
    revocation_lists: 1,
    found: "as it was found",
  };
  const notes: LogNote[] = [
    { note: "look_up", name: "press-7" },
    { note: "look_up_proxy", name: "press-7" },
    { note: "file", ...file },
    { note: "remark", remark: { remark: "not_sent", url: "ws://a" } },
    { note: "tried", address: "1.2.3.4", result: "no answer" },
    { note: "delayed", error: "5" },
    { note: "tunnel", kind: "http", target: "press-7" },
    { note: "asked", issuers: 3 },
    { note: "chain", certificates: 2 },
    { note: "sent", subject: "press-7" },
    { note: "accepted", rule: { mode: "system", ca_files: [], verify_host_name: true }, by: "system roots" },
    { note: "no_subprotocol", offered: "press-7" },
    { note: "connect", client_id: "press-7" },
    { note: "made_up", client_id: "press-7" },
    { note: "failed" },
    { note: "lost", message: "press-7" },
    { note: "ended" },
  ];
  const kinds = [
    ...readFileSync("src/lib/backend/types/LogNote.ts", "utf8").matchAll(/"note": "(\w+)"/g),
  ].map(([, kind]) => kind);
  expect(new Set(notes.map(({ note }) => note))).toEqual(new Set(kinds));
  const trace = { url: "ws://a", end: null } as Trace;
  for (const note of notes) {
    const said = logWords({ micros: 0, stage: "tcp", text: "in English", note }, trace);
    expect(english(said), note.note).toEqual([]);
  }
  const wire = { micros: 0, stage: "tls" as const, text: "ClientHello", note: null };
  expect(logWords(wire, trace)).toBe("ClientHello");
});
