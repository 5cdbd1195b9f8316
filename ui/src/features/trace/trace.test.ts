import { expect, test } from "vitest";
import type { Failure } from "$lib/backend/types/Failure";
import type { StageReport } from "$lib/backend/types/StageReport";
import type { Trace } from "$lib/backend/types/Trace";
import { server } from "../../../tests/fixtures/certificates";
import { evidenceOf, hexLines } from "./evidence";
import { facts } from "./facts";
import type { AppInfo } from "$lib/backend/types/AppInfo";
import { defaultSettings } from "../../../tests/fixture-backend";
import { compared } from "./compare";
import { headline, traceReport } from "./report";
import { timingWords } from "./timing";
import { bar, cells, hostOfUrl, schemeOfUrl, stateOf } from "./stages";

const dns: StageReport = {
  stage: "dns",
  detail: { name: "mqtt.fleet.example", addresses: ["10.20.0.14", "fd12:7a::14"], resolver: "system" },
  outcome: "ok",
  start_micros: 0,
  micros: 4_100,
};
const tcp: StageReport = {
  stage: "tcp",
  detail: {
    attempts: [
      {
        address: "[fd12:7a::14]:8084",
        result: "network unreachable",
        errno: 101,
        start_micros: 4_100,
        micros: 200,
      },
      { address: "10.20.0.14:8084", result: "connected", errno: null, start_micros: 4_300, micros: 11_400 },
    ],
    local: "10.20.7.31:52114",
    remote: "10.20.0.14:8084",
  },
  outcome: "ok",
  start_micros: 4_100,
  micros: 11_600,
};
const tls: StageReport = {
  stage: "tls",
  detail: {
    version: "TLS 1.3",
    cipher_suite: "TLS13_AES_256_GCM_SHA384",
    key_exchange: "X25519",
    alpn_offered: ["http/1.1"],
    alpn_chosen: "http/1.1",
    sni: "mqtt.fleet.example",
    server_chain: [server],
    trust: "system roots",
    trust_rule: { mode: "system", ca_files: [], verify_host_name: true },
    verified: true,
    client_cert_asked: true,
    client_cert_issuers: ["CN=Fleet CA"],
    client_cert_issuer_named: null,
    client_cert_sent: null,
    resumed: false,
    alert: null,
  },
  outcome: "ok",
  start_micros: 15_700,
  micros: 38_200,
};
const websocket: StageReport = {
  stage: "websocket",
  detail: {
    request: "GET /mqtt HTTP/1.1",
    request_headers: [{ name: "Authorization", value: "••••" }],
    status: null,
    reason: null,
    response_headers: [],
    subprotocol: null,
    body: null,
  },
  outcome: "failed",
  start_micros: 53_900,
  micros: 1_000,
};

function trace(url: string, stages: StageReport[], verdict: Trace["verdict"] = null): Trace {
  const log = [{ micros: 0, stage: "dns" as const, text: "query A, AAAA", note: null }];
  return {
    attempt: 1,
    url,
    started_at: Date.UTC(2026, 2, 18) * 1000,
    stages,
    log,
    verdict,
    timing: [],
    end: null,
  };
}

const lateFailure: Failure = {
  stage: "tls",
  code: "client_cert_required",
  message: "mqtt.fleet.example wants a client certificate.",
  cause: "It asked for one and none was sent.",
  seen_during: "websocket",
  evidence: { alert: "certificate_required (116)" },
  fixes: [{ label: "Choose a certificate and key", kind: "choose_identity", change: {} }],
  retryable: false,
};
const failed = trace("wss://mqtt.fleet.example:8084/mqtt", [dns, tcp, tls, websocket], {
  outcome: "failed",
  failure: lateFailure,
  url: "wss://mqtt.fleet.example:8084/mqtt",
  micros: 54_900,
});

test("unused stages stay in place and say why", () => {
  const row = cells(trace("mqtt://10.0.0.1:1883", [tcp]));
  expect(row.map(({ stage }) => stage)).toEqual(["dns", "tcp", "tls", "websocket", "mqtt"]);
  expect(row[2]).toMatchObject({ state: "skipped", fact: "off for mqtt", micros: null });
  expect(row[3]).toMatchObject({ state: "skipped", fact: "off for mqtt" });
  expect(row[4]).toMatchObject({ state: "waiting" });
});

test("the cause decides the stage, and the one in which it showed had no answer", () => {
  expect(stateOf(failed, "tls")).toBe("failed");
  const row = cells(failed);
  expect(row[2]).toMatchObject({ fact: "The broker wants a client certificate", micros: 38_200 });
  expect(row[3]).toMatchObject({ state: "skipped", fact: "no answer" });
  expect(row[4]).toMatchObject({ state: "skipped", fact: "not reached" });
});

test("the bar is to scale and its marks are round", () => {
  const { total, segments, ticks } = bar(failed);
  expect(total).toBe(54_900);
  expect(segments[1]?.left).toBeCloseTo((4_100 / 54_900) * 100);
  expect(segments.reduce((sum, { width }) => sum + width, 0)).toBeCloseTo(100, 0);
  expect(ticks.map(({ ms }) => ms)).toEqual([0, 10, 20, 30, 40]);
});

test("a trace that just began can be drawn", () => {
  const empty = trace("wss://a:443/mqtt", []);
  expect(bar(empty).segments).toEqual([]);
  expect(cells(empty).every(({ state }) => state === "waiting")).toBe(true);
});

test("hosts and schemes come out of URLs, IPv6 included", () => {
  expect(hostOfUrl("wss://mqtt.fleet.example:8084/mqtt?a=b")).toBe("mqtt.fleet.example");
  expect(hostOfUrl("mqtt://[fe80::1]:1883")).toBe("[fe80::1]");
  expect(schemeOfUrl("mqtts://x:1")).toBe("mqtts");
});

test("every TCP attempt is a fact with its errno", () => {
  const tried = facts(tcp).find(({ label }) => label === "Tried");
  expect(tried?.lines).toHaveLength(2);
  expect(tried?.lines[0]?.note).toBe("network unreachable, errno 101, 0.2 ms");
});

const app: AppInfo = { version: "9.9.9", platform: "linux", data_dir: "/canary-home", history_bytes: 0 };
const context = { app, draft: null };

test("the report says versions and settings, and masks what may be secret", () => {
  const settings = defaultSettings();
  settings.websocket.headers = [{ name: "X-Plain", value: "canary-header", secret: false }];
  settings.session.user_properties = [{ name: "tenant", value: "canary-property" }];
  settings.login = { enabled: true, username: "canary-user" };
  settings.will = { ...settings.will, enabled: true, topic: "state" };
  settings.will.payload = { ...settings.will.payload, text: "canary-will" };
  settings.proxy = { ...settings.proxy, kind: "http", host: "proxy", port: 3128, username: "canary-proxy" };
  const path = "/mqtt?X-Amz-Signature=canary-signature&plant=7";
  const endpoint = { websocket: true, tls: true, host: "mqtt.fleet.example", port: "443", path };
  const draft = { id: "d", name: "Fleet", endpoint, settings };
  const text = traceReport(trace(`wss://mqtt.fleet.example:443${path}`, [dns]), "Fleet", { app, draft });
  expect(text).toContain("Heliograph 9.9.9, linux");
  expect(text).toContain('"keep_alive_s": 60');
  expect(text).toContain("X-Amz-Signature=•••&plant=7");
  expect(text).toContain("X-Plain: •••");
  expect(text).not.toContain("canary");
});

test("a loss and two attempts beside each other are told by what differs", () => {
  const one = { ...trace("mqtt://a:1883", [dns]), attempt: 1 };
  const verdict = { outcome: "connected" as const, failure: null, url: one.url, micros: 9_000 };
  const lost: Trace = {
    ...one,
    verdict,
    end: { at: one.started_at, lasted_micros: 3_000_000, failure: failed.verdict?.failure ?? null },
  };
  expect(headline(lost)).toBe("Lost after 3.00 s");
  const rows = compared(lost, { ...one, verdict, url: "mqtts://a:8883" });
  expect(rows.filter(({ differs }) => differs).map(({ label }) => label)).toEqual(
    expect.arrayContaining(["Result", "URL"]),
  );
  expect(rows.find(({ label }) => label === "DNS")?.differs).toBe(false);
});

test("a stage that only one of two attempts reached is told by its cell, not fact by fact", () => {
  const far = trace("mqtt://a:1883", [dns]);
  const rows = compared(far, { ...far, stages: [] });
  expect(rows.some(({ label, differs }) => label === "DNS" && differs)).toBe(true);
  expect(rows.some(({ label }) => label.startsWith("DNS:"))).toBe(false);
});

test("where the time went is told in sentences", () => {
  const words = [
    timingWords({
      kind: "addresses_before",
      address: "[::1]:1",
      result: "refused",
      count: 1,
      micros: 250_000,
      ipv6_first: true,
    }),
    timingWords({ kind: "tls_round_trips", round_trips: 2, micros: 95_000, beyond_micros: 15_000 }),
  ];
  expect(words[0]).toBe("IPv6 was tried first: [::1]:1 cost 250.0 ms before IPv4 held.");
  expect(words[1]).toContain("two round trips (TLS 1.2), and 15.0 ms");
});

test("the report holds the whole trace in Markdown", () => {
  const text = traceReport(failed, "Fleet mTLS", context);
  expect(text).toContain("# Fleet mTLS: Failed after 54.9 ms");
  expect(text).toContain("**The broker wants a client certificate** (`client_cert_required`)");
  expect(text).toContain("- alert: `certificate_required (116)`");
  expect(text).toContain("- Choose a certificate and key");
  expect(text).toContain("Transport stayed wss. No other scheme, port or credential was tried.");
  expect(text).toContain("AA:41:0E");
  expect(text).toContain("Authorization: •••");
  expect(text).toContain("query A, AAAA");
});

test("what comes from the wire cannot leave its code span", () => {
  const text = traceReport(
    trace("mqtt://a:1", [
      { ...dns, detail: { ...dns.detail, name: "evil` **bold**\n# heading" } } as StageReport,
    ]),
    "x",
    context,
  );
  expect(text).toContain("`` evil` **bold** # heading ``");
  expect(text.split("\n").some((line) => line.startsWith("# heading"))).toBe(false);
});

test("bytes are drawn as a dump, their text twin is left out, instants are dates", () => {
  const list = evidenceOf({
    first_bytes_hex: "485454502f312e3120343030",
    first_bytes_text: "HTTP/1.1 400",
    http_status: 400,
    not_after: new Date(2026, 2, 14, 9, 30, 0).getTime() * 1000,
  });
  expect(list.map(({ name }) => name)).toEqual(["first_bytes_hex", "http_status", "not_after"]);
  expect(list[0]?.bytes?.[0]).toEqual({ offset: "0000", hex: "48 54 54 50 2f 31 2e 31", text: "HTTP/1.1" });
  expect(list[2]?.text).toBe("14 Mar 2026, 09:30:00");
  expect(hexLines("00ff")).toEqual([{ offset: "0000", hex: "00 ff", text: "··" }]);
});

test("a count of bytes is a number, and no dump", () => {
  expect(evidenceOf({ arrived_bytes: 740880 })).toEqual([{ name: "arrived_bytes", text: "740880" }]);
});
