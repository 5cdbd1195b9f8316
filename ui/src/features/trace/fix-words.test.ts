import { readFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { setLocale } from "$runtime";
import type { Fix } from "$lib/backend/types/Fix";
import type { FailureCode } from "$lib/backend/types/FailureCode";
import { fixWords } from "./fix-words";

/** As the Rust enum has them: the type is generated from it. */
const kinds = [
  ...readFileSync("src/lib/backend/types/FixAction.ts", "utf8").matchAll(/"kind": "([a-z_]+)"/g),
].map(([, kind]) => kind as Fix["kind"]);

const fix = (action: Omit<Fix, "label">) => ({ label: "as the engine calls it", ...action }) as Fix;
/** Every kind, with every change that has words of its own. */
const SAMPLES: Record<Fix["kind"], Fix[]> = {
  set_transport: [
    fix({ kind: "set_transport", change: { transport: "wss", port: 443 } }),
    fix({ kind: "set_transport", change: { transport: "mqtt" } }),
  ],
  set_port: [fix({ kind: "set_port", change: { port: 8883 } }), fix({ kind: "set_port", change: {} })],
  set_path: [fix({ kind: "set_path", change: { path: "/ws" } })],
  add_trust: [
    ...(["system", "system_and_ca", "ca_only", "pinned", "insecure"] as const).map((mode) =>
      fix({ kind: "add_trust", change: { mode } }),
    ),
    fix({ kind: "add_trust", change: { mode: "system", verify_host_name: false } }),
  ],
  choose_identity: [
    fix({ kind: "choose_identity", change: {} }),
    fix({ kind: "choose_identity", change: { swap: true } }),
    fix({ kind: "choose_identity", change: { disable: true } }),
  ],
  enter_passphrase: [fix({ kind: "enter_passphrase", change: {} })],
  set_version: [fix({ kind: "set_version", change: { version: "3.1.1" } })],
  set_credentials: (["broker", "proxy", "http"] as const).map((target) =>
    fix({ kind: "set_credentials", change: { target } }),
  ),
  set_server: [
    fix({ kind: "set_server", change: { server: "b2.example" } }),
    fix({ kind: "set_server", change: {} }),
  ],
  set_client_id: [fix({ kind: "set_client_id", change: { client_id: "press-7-a1b2" } })],
  set_keep_alive: [fix({ kind: "set_keep_alive", change: { keep_alive_s: 40 } })],
  set_maximum_packet_size: [fix({ kind: "set_maximum_packet_size", change: { bytes: 131_072 } })],
  probe_port: [fix({ kind: "probe_port", change: {} })],
  retry: [fix({ kind: "retry", change: {} })],
};
const CODES: (FailureCode | undefined)[] = [
  undefined,
  "client_cert_required",
  "client_cert_chain_incomplete",
  "client_cert_expired",
  "client_cert_wrong_purpose",
];

afterAll(() => setLocale("en", { reload: false }));

test("every kind of fix has its words in both languages", () => {
  expect(kinds.length).toBeGreaterThan(10);
  for (const kind of kinds) {
    expect(SAMPLES[kind]?.length, kind).toBeGreaterThan(0);
    for (const sample of SAMPLES[kind]) {
      for (const code of kind === "choose_identity" ? CODES : [undefined]) {
        for (const retype of kind === "set_credentials" || kind === "enter_passphrase"
          ? [false, true]
          : [false]) {
          setLocale("en", { reload: false });
          const en = fixWords(sample, "wss", { code, retype });
          setLocale("zh", { reload: false });
          const zh = fixWords(sample, "wss", { code, retype });
          const at = `${kind} ${JSON.stringify(sample.change)} ${code}`;
          expect(en.title, at).toMatch(/[a-z]/);
          expect(en.button, at).toMatch(/[a-z]/);
          for (const text of [zh.title, zh.button, zh.detail || "无"])
            expect(text, at).toMatch(/\p{Script=Han}/u);
          expect(`${en.title}${en.detail}${zh.title}${zh.detail}`, at).not.toMatch(/[{}]|undefined/);
        }
      }
    }
  }
});
