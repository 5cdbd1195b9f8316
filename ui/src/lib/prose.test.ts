/**
 * The engine's English stays behind the window's words. Every text of the engine's that is prose, by its description, is
 * listed here with what is shown in its place; a new one fails until somebody says so. Sources that would show one fail too.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it, test } from "vitest";
import { overwriteGetLocale } from "$runtime";
import type { EngineError } from "$lib/backend";
import { errorWords } from "./errors";

const TYPES = "src/lib/backend/types";

/** A name of the person's, a word of a protocol, or what somebody else said: shown as it is. */
const DATA = "data";
const PROSE: Record<string, string> = {
  "Error.message": "errors.ts, by code and reason",
  "Failure.message": "failures.ts, by code",
  "Failure.cause": "failures.ts, by code",
  "FileError.message": "errors.ts, by code",
  "Fix.label": "fix-words.ts, by kind",
  "Problem.message": "problems.ts, by code; in English as it is",
  "FileReport.found": "holds.ts, by what it holds",
  "IdentityFile.found": "trace/words.ts, by what it holds",
  "IdentityFile.role": "trace/facts.ts",
  "IdentityDetail.warnings": "trace/words.ts: only of traces that an earlier version kept",
  "ImportRemark.used": "transfer/words.ts, by code and reason",
  "LineProblem.message": "recordings.ts: in English only",
  "LogLine.text": "trace/words.ts, by its note",
  "LogNote.found": "trace/words.ts, by what it holds",
  "LogNote.result": "trace/words.ts",
  "LogNote.by": "trace/words.ts, by its rule",
  "LogNote.message": "trace/words.ts, by the failure",
  "ProbeTrust.by": "ProbeDialog.svelte, by the failure",
  "Row.text": "messages/words.ts, by its facts",
  "RowContent.text": "messages/words.ts, by its facts",
  "TcpAttempt.result": "trace/words.ts",
  "TimingRemark.result": "trace/words.ts",
  "TlsDetail.trust": "trace/words.ts, by its rule",
  "DamagedProfile.message": "Damaged.svelte: what the parser said, under a sentence of ours",
  "EventFacts.reason_string": DATA,
  "LogNote.error": DATA,
  "LogNote.kind": DATA,
  "LogNote.offered": DATA,
  "Profile.name": DATA,
  "ProfileDraft.name": DATA,
  "ProxyDetail.target": DATA,
  "PublishOutcome.reason_string": DATA,
  "Subscription.label": DATA,
  "SubscriptionState.reason_string": DATA,
  "Trust.crl_files": DATA,
};

it("knows every text of the engine that is prose", () => {
  const found = new Set<string>();
  for (const file of readdirSync(TYPES)) {
    const text = readFileSync(join(TYPES, file), "utf8");
    for (const [, about = "", field = ""] of text.matchAll(
      /\/\*\*\n((?: \*[^\n]*\n)+?) \*\/\n(\w+)\??: (?:Array<)?string/g,
    )) {
      if (/sentence|words|English|wrong|[Ww]hy|says|What /.test(about))
        found.add(`${file.replace(/\.ts$/, "")}.${field}`);
    }
  }
  expect([...found].sort()).toEqual(Object.keys(PROSE).sort());
});

/** Where `.message` is not the engine's, or is what is meant. */
const MAY = [
  "lib/errors.ts",
  "lib/failures.ts",
  "lib/problems.ts",
  "lib/recordings.ts",
  "features/trace/words.ts",
  "features/connections/Damaged.svelte",
];

it("shows the engine's sentences nowhere else", () => {
  const sources = readdirSync("src", { recursive: true, encoding: "utf8" }).filter(
    (path) => /\.(ts|svelte)$/.test(path) && !/test\.ts$|backend\//.test(path),
  );
  expect(sources.length).toBeGreaterThan(150);
  const shown = sources.filter((path) => {
    // The problem of a filter is in words already.
    const text = readFileSync(join("src", path), "utf8").replaceAll(/\bwrong\.message\b|^\s*\*.*$/gm, "");
    return /\.(message|found)\b(?!\s*[({=])/.test(text.replaceAll(/\.found\s*\{/g, ""));
  });
  expect(shown.filter((path) => !MAY.includes(path.replaceAll("\\", "/")))).toEqual([]);
});

/** The codes of the remarks on drafts, as the engine's source has them. */
it("has words for every remark on a draft", () => {
  const source = readFileSync("../src-tauri/engine/src/draft.rs", "utf8");
  const codes = [...source.matchAll(/remarks\.(?:error|warn)\(\s*[^;]*?,\s*"([a-z0-9_]+)",/g)].map(
    ([, code]) => code,
  );
  expect(new Set(codes).size).toBeGreaterThan(35);
  const words = JSON.parse(readFileSync("messages/editor/zh.json", "utf8")) as Record<string, string>;
  const failures = JSON.parse(readFileSync("messages/failures/zh.json", "utf8")) as Record<string, string>;
  expect(codes.filter((code) => !words[`problem_${code}`] && !failures[`failure_${code}`])).toEqual([]);
});

const REASONS = readFileSync(join(TYPES, "ErrorReason.ts"), "utf8").match(/(?<=")[a-z0-9_]+(?=")/g) ?? [];
const FACTS = {
  aside: "/p-damaged",
  ...{ path: "/p", error: "E", value: "v", operator: ">", most: 7, least: 8, bytes: 9, port: 1, name: "n" },
  ...{
    listener: "ws",
    other: "wss",
    slowest: 1,
    fastest: 2,
    encoding: "base64",
    failure: "passphrase_wrong",
  },
};

test.each(["en", "zh"] as const)("every reason is said with its facts, in %s", (language) => {
  overwriteGetLocale(() => language);
  const english = "an English sentence";
  const said = (error: Omit<EngineError, "message">) => {
    const text = errorWords({ ...error, message: english });
    expect(text, JSON.stringify(error)).toMatch(
      language === "zh" ? /\p{Script=Han}/u : /^[^\p{Script=Han}]+$/u,
    );
    expect(text).not.toMatch(/undefined|\{|\}/);
    if (error.code !== "internal" && error.code !== "connect_failed") expect(text).not.toContain(english);
  };
  expect(REASONS.length).toBeGreaterThan(80);
  for (const reason of REASONS) {
    for (const code of ["invalid_input", "file", "storage", "broker", "limit_exceeded", "not_found"] as const)
      said({ code, details: { ...FACTS, reason } });
    said({ code: "file", details: { ...FACTS, reason, reading: true } });
  }
  for (const code of [
    "not_found",
    "not_connected",
    "already_connected",
    "connection_lost",
    "passphrase_wrong",
    "secret_needed",
    "vault_locked",
    "cancelled",
    "internal",
  ] as const)
    said({ code, details: {} });
  said({ code: "refused", details: { reason: "Not authorized", reason_code: 135, reason_string: null } });
  for (const keep of ["keyring", "passphrase"])
    for (const state of [
      "locked",
      "no_service",
      "denied",
      "silent",
      "key_missing",
      "newer_version",
      "failed",
    ])
      said({ code: "vault_locked", details: { state, keep } });
  overwriteGetLocale(() => "en");
});
