/**
 * A backend in memory with the connections that the design's pictures show: for unit tests, and for looking
 * at the window in a plain browser (`npx vite --mode fixture`). Never part of a build. It keeps the
 * contracts of `Backend` (what is saved comes back, a delete can be undone) and dials nothing.
 */
import type { Backend } from "../src/lib/backend";
import type { BrokerStatus } from "../src/lib/backend/types/BrokerStatus";
import type { CertificateInfo } from "../src/lib/backend/types/CertificateInfo";
import type { ConnectionStatus } from "../src/lib/backend/types/ConnectionStatus";
import type { Connack } from "../src/lib/backend/types/Connack";
import type { DamagedProfile } from "../src/lib/backend/types/DamagedProfile";
import type { Endpoint } from "../src/lib/backend/types/Endpoint";
import type { EngineEvent } from "../src/lib/backend/types/EngineEvent";
import type { Error as EngineError } from "../src/lib/backend/types/Error";
import type { Failure } from "../src/lib/backend/types/Failure";
import type { Folder } from "../src/lib/backend/types/Folder";
import type { Outcome } from "../src/lib/backend/types/Outcome";
import type { Phase } from "../src/lib/backend/types/Phase";
import type { Profile } from "../src/lib/backend/types/Profile";
import type { ProfileEntry } from "../src/lib/backend/types/ProfileEntry";
import type { ProfileId } from "../src/lib/backend/types/ProfileId";
import type { Row } from "../src/lib/backend/types/Row";
import type { RowFilter } from "../src/lib/backend/types/RowFilter";
import type { Scheme } from "../src/lib/backend/types/Scheme";
import type { SecretEdit } from "../src/lib/backend/types/SecretEdit";
import type { SecretField } from "../src/lib/backend/types/SecretField";
import type { StoredSecret } from "../src/lib/backend/types/StoredSecret";
import type { Settings } from "../src/lib/backend/types/Settings";
import type { StageReport } from "../src/lib/backend/types/StageReport";
import type { Subscription } from "../src/lib/backend/types/Subscription";
import type { SubscriptionStatus } from "../src/lib/backend/types/SubscriptionStatus";
import type { Trace } from "../src/lib/backend/types/Trace";
import { draftReport, fileReport } from "./fixtures/drafts";
import { importedRows, planned } from "./fixtures/imports";
import { probeOf } from "./fixtures/probe";
import { FixtureLibrary } from "./fixtures/library";
import type { VaultStatus } from "../src/lib/backend/types/VaultStatus";
import type { TransferKind } from "../src/lib/backend/types/TransferKind";
import type { TransferStatus } from "../src/lib/backend/types/TransferStatus";
import type { Keeping } from "../src/lib/backend/types/Keeping";
import type { ViewCount } from "../src/lib/backend/types/ViewCount";

const DEFAULT_PORT: Record<Scheme, string> = { mqtt: "1883", mqtts: "8883", ws: "80", wss: "443" };
const HOUR_MICROS = 3_600_000_000;

export const nowMicros = (): number => Date.now() * 1000;

/** Opens the vault of the fixture. */
export const VAULT_PASSPHRASE = "correct horse";

export function failWith(code: EngineError["code"], message: string, details = {}): EngineError {
  return { code, message, details };
}

export function schemeOf(endpoint: { websocket: boolean; tls: boolean }): Scheme {
  if (endpoint.websocket) return endpoint.tls ? "wss" : "ws";
  return endpoint.tls ? "mqtts" : "mqtt";
}

function urlOf(endpoint: Endpoint): string {
  const scheme = schemeOf(endpoint);
  const port = endpoint.port || DEFAULT_PORT[scheme];
  return `${scheme}://${endpoint.host}:${port}${endpoint.websocket ? endpoint.path || "/mqtt" : ""}`;
}

export function defaultSettings(): Settings {
  return {
    login: { enabled: false, username: "" },
    client_certificate: { enabled: false, cert_file: "", key_file: "" },
    trust: {
      mode: "system",
      ca_files: [],
      pinned_sha256: "",
      pinned_certificate: "",
      crl_files: [],
      verify_host_name: true,
    },
    tls: { min_version: "1.2", alpn: [], server_name: "" },
    websocket: { subprotocol: "mqtt", headers: [] },
    proxy: { kind: "none", host: "", port: 0, username: "", resolve_locally: false },
    session: {
      version: "5",
      client_id: `helio-${Math.random().toString(16).slice(2, 10)}`,
      clean_start: true,
      keep_alive_s: 60,
      session_expiry_s: null,
      receive_maximum: null,
      maximum_packet_size: null,
      topic_alias_maximum: null,
      request_response_information: false,
      request_problem_information: true,
      user_properties: [],
    },
    will: {
      enabled: false,
      topic: "",
      payload: { text: "", encoding: "utf8" },
      qos: 0,
      retain: false,
      delay_s: null,
      properties: {
        payload_format_utf8: null,
        message_expiry_s: null,
        content_type: null,
        response_topic: null,
        correlation_data: null,
        topic_alias: null,
        user_properties: [],
      },
    },
    timing: {
      connect_timeout_s: 15,
      reconnect: true,
      reconnect_initial_s: 1,
      reconnect_max_s: 60,
      reconnect_attempts: null,
    },
    subscriptions: [],
    retention: null,
  };
}

export function subscription(filter: string, label = "", color = 7, qos: 0 | 1 | 2 = 0): Subscription {
  return {
    filter,
    label,
    color,
    enabled: true,
    qos,
    no_local: false,
    retain_as_published: false,
    retain_handling: 0,
    live_only: false,
  };
}

export function certificate(name: string, over: Partial<CertificateInfo> = {}): CertificateInfo {
  return {
    subject: `CN=${name}, O=Plant North`,
    common_name: name,
    issuer: "CN=Plant North Devices CA 2, O=Plant North",
    sans: [`DNS:${name}`],
    serial: "4e91c2077a",
    not_before: nowMicros() - 24 * HOUR_MICROS * 200,
    not_after: nowMicros() + 24 * HOUR_MICROS * 165,
    key_type: "ECDSA P-256",
    usages: ["digitalSignature", "clientAuth"],
    is_ca: false,
    self_signed: false,
    sha256: "9f2c71d0b56a8e034c1d77fa20be5593a1c4e8027d6b9f10c3358ae4d2706b1f",
    sha1: "c1a7e09b4d2f5836e07b91ac44d85f60b3e29c17",
    spki_sha256: "77aa0c31de5b8f2290c4e1d3b6a7988b1c2d3e4f5061728394a5b6c7d8e9fa0b",
    der_base64: "MIIBszCCAVmgAwIBAgIUTpHCB3o=",
    ...over,
  };
}

export function connack(over: Partial<Connack> = {}): Connack {
  return {
    code: 0,
    reason: "Success",
    session_present: false,
    session_expiry_s: null,
    receive_maximum: 100,
    maximum_qos: null,
    retain_available: true,
    maximum_packet_size: 262144,
    assigned_client_id: null,
    topic_alias_maximum: 10,
    reason_string: null,
    user_properties: [],
    wildcard_available: true,
    subscription_ids_available: true,
    shared_available: true,
    server_keep_alive_s: null,
    response_information: null,
    server_reference: null,
    authentication_method: null,
    ...over,
  };
}

export const certificateRefused: Failure = {
  stage: "tls",
  code: "client_cert_expired",
  message: "The broker refused the client certificate: it expired 4 days ago.",
  cause: "received fatal alert: CertificateExpired (45)",
  seen_during: "tls",
  evidence: {
    client_cert_sent: "CN=line3-gw, O=Plant North",
    alert: "certificate_expired (45)",
    not_after: nowMicros() - 4 * 24 * HOUR_MICROS,
  },
  fixes: [
    { label: "Choose a client certificate that is valid now", kind: "choose_identity", change: {} },
    {
      label: "Connect without a client certificate",
      kind: "choose_identity",
      change: { disable: true },
    },
  ],
  retryable: false,
};

export const connectionRefused: Failure = {
  stage: "tcp",
  code: "connection_refused",
  message: "Nothing listens on staging.example:8084.",
  cause: "Connection refused (os error 111)",
  seen_during: "tcp",
  evidence: { address: "10.20.4.7:8084", errno: 111 },
  fixes: [
    { label: "Use another port", kind: "set_port", change: {} },
    { label: "Try again", kind: "retry", change: {} },
  ],
  retryable: true,
};

/** A trace that went as far as `failure` says, or all the way. */
export function traceOf(profile: Pick<Profile, "endpoint" | "settings">, failure: Failure | null): Trace {
  const { endpoint, settings } = profile;
  const scheme = schemeOf(endpoint);
  const failed = (stage: string) => failure?.stage === stage;
  const order = ["identity", "dns", "tcp", "tls", "websocket", "mqtt"] as const;
  const stop = failure ? order.findIndex((stage) => stage === failure.stage) : order.length;
  let at = 0;
  const timing = (index: number, used: boolean, micros: number) => {
    const outcome: Outcome = !used || index > stop ? "skipped" : index === stop ? "failed" : "ok";
    const start_micros = at;
    const took = outcome === "skipped" ? 0 : micros;
    at += took;
    return { outcome, start_micros, micros: took };
  };
  const certificateUsed = settings.client_certificate.enabled && endpoint.tls;
  const leaf = certificate("line3-gw");
  const stages: StageReport[] = [
    {
      stage: "identity",
      detail: { files: [], key_matches: certificateUsed ? true : null, warnings: [], remarks: [] },
      ...timing(0, certificateUsed, 900),
    },
    {
      stage: "dns",
      detail: { name: endpoint.host, addresses: ["10.20.4.7", "fd00::4:7"], resolver: "system" },
      ...timing(1, true, 3_100),
    },
    {
      stage: "tcp",
      detail: {
        attempts: [
          {
            address: `10.20.4.7:${endpoint.port || DEFAULT_PORT[scheme]}`,
            result: failed("tcp") ? "Connection refused" : "connected",
            errno: failed("tcp") ? 111 : null,
            start_micros: 0,
            micros: 12_000,
          },
        ],
        local: failed("tcp") ? null : "10.20.8.31:51644",
        remote: failed("tcp") ? null : "10.20.4.7:8084",
      },
      ...timing(2, true, 12_200),
    },
    {
      stage: "tls",
      detail: {
        version: "TLS 1.3",
        cipher_suite: "TLS13_AES_256_GCM_SHA384",
        key_exchange: "X25519",
        alpn_offered: [],
        alpn_chosen: null,
        sni: endpoint.host,
        server_chain: [certificate(endpoint.host, { usages: ["digitalSignature", "serverAuth"] })],
        trust: "system roots",
        trust_rule: { mode: "system", ca_files: [], verify_host_name: true },
        verified: true,
        client_cert_asked: certificateUsed,
        client_cert_issuers: certificateUsed ? ["CN=Plant North Devices CA 2"] : [],
        client_cert_issuer_named: null,
        client_cert_sent: certificateUsed ? leaf : null,
        resumed: false,
        alert: failed("tls") ? "certificate_expired" : null,
      },
      ...timing(3, endpoint.tls, 31_400),
    },
    {
      stage: "websocket",
      detail: {
        request: `GET ${endpoint.path || "/mqtt"} HTTP/1.1`,
        request_headers: [{ name: "Sec-WebSocket-Protocol", value: "mqtt" }],
        status: 101,
        reason: "Switching Protocols",
        response_headers: [{ name: "Sec-WebSocket-Protocol", value: "mqtt" }],
        subprotocol: "mqtt",
        body: null,
      },
      ...timing(4, endpoint.websocket, 9_800),
    },
    {
      stage: "mqtt",
      detail: {
        version: settings.session.version,
        client_id: settings.session.client_id,
        clean_start: settings.session.clean_start,
        keep_alive_s: settings.session.keep_alive_s,
        username_sent: settings.login.enabled,
        password_sent: settings.login.enabled,
        will_sent: false,
        connack: failure ? null : connack(),
      },
      ...timing(5, true, 6_600),
    },
  ];
  const url = urlOf(endpoint);
  return {
    attempt: 1,
    url,
    started_at: nowMicros() - at,
    stages,
    log: stages
      .filter((stage) => stage.outcome !== "skipped")
      .map((stage) => ({
        micros: stage.start_micros,
        stage: stage.stage,
        text: `${stage.stage} begins`,
        note: null,
      })),
    verdict: { outcome: failure ? "failed" : "connected", failure, url, micros: at },
    timing: [{ kind: "round_trip", micros: 9_000 }],
    end: null,
  };
}

interface Stored {
  profile: Profile;
  folder: string | null;
  phase: Phase;
  rates: [number, number];
  stale: boolean;
}

let counter = 0;
const freshId = (kind: string) => `${kind}-${++counter}`;

function seeded(
  name: string,
  folder: string | null,
  url: string,
  auth: string,
  phase: Phase,
  rates: [number, number] = [0, 0],
  subscriptions: Subscription[] = [],
): Stored {
  const parsed = parseUrl(url, "mqtt");
  const settings = defaultSettings();
  settings.subscriptions = subscriptions;
  if (auth.includes("k")) settings.login = { enabled: true, username: "press-cell" };
  if (auth.includes("c")) {
    settings.client_certificate = {
      enabled: true,
      cert_file: "/home/ana/certs/line3-gw.pem",
      key_file: "/home/ana/certs/line3-gw.key",
    };
  }
  return {
    profile: { id: freshId("p"), name, endpoint: parsed.endpoint, settings },
    folder,
    phase,
    rates,
    stale: false,
  };
}

function parseUrl(text: string, fallback: Scheme) {
  const trimmed = text.trim();
  const match =
    /^(?:(mqtts?|wss?):\/\/)?(?:([^:@/]*)(?::([^@/]*))?@)?(\[[^\]]+\]|[^:/?#]+)(?::(\d+))?(\/.*)?$/i.exec(
      trimmed,
    );
  if (!match || !match[4]) {
    throw failWith(
      "invalid_input",
      "A URL is a scheme, a host and a port, like mqtts://broker.example.com:8883.",
      {
        field: "url",
      },
    );
  }
  const scheme = (match[1]?.toLowerCase() ?? fallback) as Scheme;
  const websocket = scheme === "ws" || scheme === "wss";
  const endpoint: Endpoint = {
    websocket,
    tls: scheme === "mqtts" || scheme === "wss",
    host: match[4],
    port: match[5] ?? "",
    path: websocket ? (match[6] ?? "/mqtt") : "",
  };
  if (endpoint.port && Number(endpoint.port) > 65535) {
    throw failWith("invalid_input", "Ports go from 1 to 65535.", { field: "port" });
  }
  const decode = (part: string | undefined) => (part === undefined ? null : decodeURIComponent(part));
  return {
    endpoint,
    url: urlOf(endpoint),
    username: decode(match[2] || undefined),
    password: decode(match[3]),
  };
}

/** Whether an MQTT topic filter matches a topic (MQTT 5, 4.7). */
export function topicMatches(filter: string, topic: string): boolean {
  const levels = filter.split("/");
  const names = topic.split("/");
  if (topic.startsWith("$") && /^[#+]/.test(filter)) return false;
  for (const [index, level] of levels.entries()) {
    if (level === "#") return true;
    if (index >= names.length || (level !== "+" && level !== names[index])) return false;
  }
  return levels.length === names.length;
}

const TOPICS = [
  "factory/line-3/press-07/telemetry",
  "factory/line-3/press-07/state",
  "factory/line-3/oven-2/telemetry",
  "factory/line-3/oven-2/alarm",
  "factory/line-3/cmd/press-07/set",
  "factory/line-4/robot-1/telemetry",
  "$SYS/broker/load/messages/received/1min",
];

function payloadFor(topic: string, seq: number): string {
  if (topic.startsWith("$SYS")) return (400 + (seq % 37)).toString();
  if (topic.endsWith("state")) return seq % 9 === 0 ? "idle" : "running";
  if (topic.endsWith("alarm"))
    return JSON.stringify({ code: `E2${17 + (seq % 3)}`, severity: "warn", text: "温度 high" });
  if (topic.endsWith("set")) return JSON.stringify({ force_kn: 118 + (seq % 5), ramp_ms: 250 });
  return JSON.stringify({
    ts: 1_763_800_000_000 + seq * 40,
    temperature: 68 + (seq % 50) / 10,
    pressure: 4.1 + (seq % 7) / 100,
    cycle: 48_210 + seq,
    mode: "auto",
    tags: ["press", "line-3"],
  });
}

function rowOf(seq: number, time: number): Row {
  if (seq === 1)
    return {
      seq,
      time,
      pinned: false,
      kind: "event",
      event: "connected",
      text: "wss://mqtt.plant-north.example:8084/mqtt as press-7",
      facts: {
        about: "connection",
        url: "wss://mqtt.plant-north.example:8084/mqtt",
        client_id: "press-7",
      },
    };
  const topic = TOPICS[(seq * 7 + (seq >> 2)) % TOPICS.length] ?? TOPICS[0]!;
  const preview = payloadFor(topic, seq);
  return {
    seq,
    time,
    pinned: false,
    kind: "message",
    direction: topic.includes("/cmd/") ? "out" : "in",
    topic,
    qos: topic.includes("/cmd/") ? 1 : 0,
    retain: topic.endsWith("state"),
    dup: false,
    size: new TextEncoder().encode(preview).length,
    preview: preview.slice(0, 256),
    preview_hex: false,
    content_type: topic.endsWith("telemetry") ? "application/json" : null,
  };
}

function rowMatches(row: Row, filter: RowFilter): boolean {
  if (filter.live || (filter.pinned && !row.pinned) || row.kind === "damaged") return false;
  if (row.kind === "event") return !filter.text && filter.topics.length === 0 && !filter.direction;
  if (filter.direction && row.direction !== filter.direction) return false;
  if (filter.topics.length && !filter.topics.some((topic) => topicMatches(topic, row.topic))) return false;
  if (!filter.text) return true;
  const text = `${row.topic} ${row.preview}`;
  if (filter.regex) return new RegExp(filter.text, filter.case_sensitive ? "" : "i").test(text);
  return filter.case_sensitive
    ? text.includes(filter.text)
    : text.toLowerCase().includes(filter.text.toLowerCase());
}

export interface FixtureOptions {
  /** No connections, for the first-run page. */
  empty?: boolean;
  /** Rows and rates grow by themselves, four times a second. */
  live?: boolean;
}

/** A fresh backend, sharing nothing with others. */
export function fixtureBackend({ empty = false, live = false }: FixtureOptions = {}): Backend {
  const listeners = new Set<(event: EngineEvent) => void>();
  const emit = (event: EngineEvent) => queueMicrotask(() => listeners.forEach((listener) => listener(event)));

  let folders: Folder[] = empty
    ? []
    : ["Plant North", "Staging", "Field vehicles", "Bench"].map((name) => ({
        id: freshId("f"),
        name,
        collapsed: name === "Field vehicles",
      }));
  const folderId = (name: string) => folders.find((folder) => folder.name === name)?.id ?? null;
  const connectedFor = (hours: number): Phase => ({
    phase: "connected",
    since: nowMicros() - hours * HOUR_MICROS,
    connack: connack(),
  });
  let profiles: Stored[] = empty
    ? []
    : [
        seeded(
          "Line 3 gateway",
          folderId("Plant North"),
          "wss://mqtt.plant-north.example:8084/mqtt",
          "ck",
          connectedFor(2.24),
          [412, 2.5],
          [
            { ...subscription("factory/line-3/#", "Line 3, all", 0, 1), retain_as_published: true },
            subscription("factory/+/+/telemetry", "Telemetry", 1, 0),
            { ...subscription("factory/+/+/alarm", "Alarms", 4, 2), retain_handling: 2 },
            { ...subscription("factory/line-3/cmd/#", "Commands", 6, 1), no_local: true },
            { ...subscription("$share/qa/factory/line-4/#", "Line 4, shared", 2, 1), enabled: false },
            subscription("$SYS/broker/#", "Broker stats", 7, 0),
          ],
        ),
        seeded(
          "Press cell edge",
          folderId("Plant North"),
          "mqtts://edge.plant-north.example",
          "c",
          connectedFor(5),
          [12, 0],
        ),
        seeded("Packaging hall", folderId("Plant North"), "mqtts://pack.plant-north.example", "k", {
          phase: "idle",
        }),
        seeded("Staging cluster", folderId("Staging"), "wss://staging.example:8084/mqtt", "k", {
          phase: "waiting",
          attempt: 3,
          retry_at: nowMicros() + 240_000_000,
          failure: connectionRefused,
        }),
        seeded("Fleet mTLS", folderId("Staging"), "wss://fleet.example/mqtt", "ck", {
          phase: "failed",
          failure: certificateRefused,
        }),
        seeded("Warehouse bridge", folderId("Staging"), "mqtts://warehouse.example", "k", { phase: "idle" }),
        ...Array.from({ length: 12 }, (_, index) =>
          seeded(`Vehicle ${index + 1}`, folderId("Field vehicles"), `mqtts://v${index + 1}.example`, "c", {
            phase: "idle",
          }),
        ),
        seeded("Local broker", folderId("Bench"), "mqtt://localhost:1883", "", connectedFor(0.3), [3, 1]),
        seeded("Raspberry Pi", folderId("Bench"), "ws://pi.local:8083/mqtt", "k", { phase: "idle" }),
      ];
  const started = nowMicros();
  const rows = new Map<ProfileId, Row[]>();
  const rowsOf = (id: ProfileId): Row[] => {
    let known = rows.get(id);
    if (!known) {
      const count = get(id).phase.phase === "idle" ? 0 : 2_400;
      known = Array.from({ length: count }, (_, index) =>
        rowOf(index + 1, started - (count - index) * 40_000),
      );
      rows.set(id, known);
    }
    return known;
  };
  const deletedProfiles = new Map<string, { stored: Stored; index: number }>();
  const deletedFolders = new Map<string, { folder: Folder; index: number; members: string[] }>();
  let damaged: DamagedProfile[] = empty
    ? []
    : [
        {
          id: freshId("p"),
          name: "Boiler house",
          message: "missing field `endpoint` at line 1 column 812",
        },
      ];
  const deletedDamaged = new Map<string, DamagedProfile>();
  let vaultStatus: VaultStatus = {
    keep: "keyring",
    state: "open",
    path: "/home/mara/.local/share/heliograph/secrets.vault",
    stored: 7,
    in_memory: 0,
    choice_needed: false,
    auto_lock_minutes: 15,
    set_aside: null,
  };
  const secrets = new Map<ProfileId, StoredSecret[]>();
  for (const { profile } of profiles) {
    // That of `Packaging hall` went with an earlier run.
    if (profile.settings.login.enabled && profile.name !== "Packaging hall")
      secrets.set(profile.id, [{ field: { kind: "password" }, place: "keyring" }]);
  }
  const traces = new Map<ProfileId, Trace[]>();
  for (const { profile, phase } of profiles) {
    if (phase.phase === "connected") traces.set(profile.id, [traceOf(profile, null)]);
    if (phase.phase === "failed" || phase.phase === "waiting") {
      traces.set(profile.id, [traceOf(profile, phase.failure)]);
    }
  }
  const values = new Map<string, string>();
  const views = new Map<number, { id: ProfileId; filter: RowFilter }>();
  let nextView = 1;
  let broker: BrokerStatus = {
    running: !empty,
    urls: [],
    error: null,
    files: {
      ca: "/home/ana/.local/share/heliograph/broker/ca.pem",
      client_cert: "/home/ana/.local/share/heliograph/broker/client.pem",
      client_key: "/home/ana/.local/share/heliograph/broker/client.key",
    },
    options: {
      ports: { mqtt: 1883, mqtts: 8883, ws: 8083, wss: 8084 },
      require_client_certificate: false,
      username: "",
    },
    password_place: null,
  };
  const brokerUrls = (ports: BrokerStatus["options"]["ports"]) => [
    `mqtt://localhost:${ports.mqtt}`,
    `mqtts://localhost:${ports.mqtts}`,
    `ws://localhost:${ports.ws}/mqtt`,
    `wss://localhost:${ports.wss}/mqtt`,
  ];
  if (broker.running) broker.urls = brokerUrls(broker.options.ports);

  function get(id: ProfileId): Stored {
    const stored = profiles.find(({ profile }) => profile.id === id);
    if (!stored) throw failWith("not_found", "There is no such connection.", { id });
    return stored;
  }
  function statusOf({ profile, phase, rates, stale }: Stored): ConnectionStatus {
    const connected = phase.phase === "connected";
    const history = rows.get(profile.id);
    const subscriptions: SubscriptionStatus[] = profile.settings.subscriptions.map((wanted, index) => ({
      subscription: wanted,
      state: connected && wanted.enabled ? { state: "granted", qos: wanted.qos } : { state: "inactive" },
      received: connected ? ([612_340, 767_402, 1_204, 3_911, 4_882, 992][index] ?? 0) : 0,
    }));
    return {
      id: profile.id,
      phase,
      counters: {
        received_bytes: 0,
        received: history?.length ?? (connected ? 2_400 : 0),
        sent: connected ? 311 : 0,
        dropped: 0,
        stored: history?.length ?? (connected ? 2_400 : 0),
        let_go: 0,
        live_only: 0,
        received_per_s: connected ? rates[0] : 0,
        sent_per_s: connected ? rates[1] : 0,
        rtt_micros: connected ? 18_200 : null,
      },
      subscriptions,
      stale,
    };
  }
  function setPhase(id: ProfileId, phase: Phase): void {
    const stored = get(id);
    stored.phase = phase;
    emit({ event: "connection", ...statusOf(stored) });
  }
  function keepSecrets(id: ProfileId, edits: SecretEdit[]): void {
    for (const { field, value } of edits) {
      const others = (secrets.get(id) ?? []).filter(
        (other) => JSON.stringify(other.field) !== JSON.stringify(field),
      );
      const place = vaultStatus.keep === "never" ? "once" : vaultStatus.keep;
      secrets.set(id, value === null ? others : [...others, { field, place }]);
    }
  }
  const library = new FixtureLibrary();
  function changeVault(change: Partial<VaultStatus>): VaultStatus {
    vaultStatus = { ...vaultStatus, ...change };
    emit({ event: "vault", ...vaultStatus });
    return vaultStatus;
  }
  const libraryChanged = () => emit({ event: "library_changed" });
  function viewRows(view: number): Row[] {
    const open = views.get(view);
    if (!open) throw failWith("not_found", "This view is closed.");
    return rowsOf(open.id).filter((row) => rowMatches(row, open.filter));
  }
  let keeping: Keeping = {
    each: { max_bytes: 2_000_000_000, max_rows: null, max_age_s: null },
    max_bytes_in_all: null,
  };
  function payloadBytes(id: ProfileId, seq: number): Uint8Array {
    const row = rowsOf(id).find((other) => other.seq === seq);
    return new TextEncoder().encode(row?.kind === "message" ? row.preview : "");
  }
  function differingPlaces(a: Uint8Array, b: Uint8Array): number[] {
    return Array.from({ length: Math.max(a.length, b.length) }, (_, at) => at).filter(
      (at) => a[at] !== b[at],
    );
  }
  function countOf(view: number): ViewCount {
    const stored = rowsOf(views.get(view)?.id ?? "").length;
    const pinned = rowsOf(views.get(view)?.id ?? "").filter((row) => row.pinned).length;
    return {
      rows: viewRows(view).length,
      stored,
      searched: stored,
      stopped: false,
      limited: false,
      origin: 0,
      kept: 0,
      pinned,
      damaged: 0,
    };
  }
  const transfers = new Map<number, TransferStatus>();
  let nextTransfer = 1;
  /** Begins something that goes on until it is stopped. */
  function transfer(connection: ProfileId, kind: TransferKind, path: string): number {
    const counts = {
      messages: 0,
      events: 0,
      damaged: 0,
      unreadable: 0,
      earlier: 0,
      refused: 0,
      lost: 0,
      problems: [],
    };
    const share = kind === "record" ? null : 0;
    const status = {
      id: nextTransfer++,
      connection,
      kind,
      path,
      state: { state: "running" as const },
      share,
      counts,
    };
    transfers.set(status.id, status);
    emit({ event: "transfer", ...status });
    return status.id;
  }
  function changeTransfer(id: number, state: TransferStatus["state"]): void {
    const known = transfers.get(id);
    if (!known) return;
    const status = { ...known, state };
    if (state.state === "done" || state.state === "failed") transfers.delete(id);
    else transfers.set(id, status);
    emit({ event: "transfer", ...status });
  }
  const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

  if (live) {
    setInterval(() => {
      const connections = profiles.filter(({ phase }) => phase.phase === "connected");
      for (const { profile, rates } of connections) {
        const history = rowsOf(profile.id);
        const added = Math.min(20, Math.ceil(rates[0] / 4));
        for (let index = 0; index < added; index++) history.push(rowOf(history.length + 1, nowMicros()));
      }
      emit({
        event: "pulse",
        connections: connections.map((stored) => {
          const { id, counters, subscriptions } = statusOf(stored);
          const wobble = 1 + Math.sin(Date.now() / 2_100 + id.length) * 0.2;
          return {
            id,
            counters: { ...counters, received_per_s: Math.round(counters.received_per_s * wobble) },
            subscription_counts: subscriptions.map(({ received }) => received),
          };
        }),
      });
    }, 250);
  }

  return {
    async start() {},
    async libraryTree() {
      return {
        damaged: copy(damaged),
        folders: copy(folders),
        profiles: profiles.map(({ profile, folder }): ProfileEntry => ({
          id: profile.id,
          name: profile.name,
          folder,
          scheme: schemeOf(profile.endpoint),
          url: urlOf(profile.endpoint),
          login: profile.settings.login.enabled,
          client_certificate: profile.settings.client_certificate.enabled,
        })),
      };
    },
    async profile(id) {
      return copy(get(id).profile);
    },
    async newDraft() {
      return {
        id: freshId("p"),
        name: "",
        endpoint: { websocket: false, tls: true, host: "", port: "", path: "" },
        settings: defaultSettings(),
      };
    },
    async checkDraft(draft) {
      return draftReport(draft);
    },
    async parseEndpoint(text, fallback) {
      return parseUrl(text, fallback);
    },
    async saveProfile(draft, folder, edits) {
      if (!draft.endpoint.host)
        throw failWith("invalid_input", "A host name or address is missing.", { field: "host" });
      const profile: Profile = copy(draft);
      if (!profile.name) profile.name = profile.endpoint.host;
      const known = profiles.find((stored) => stored.profile.id === draft.id);
      if (known) {
        known.profile = profile;
        known.stale = known.phase.phase === "connected";
        emit({ event: "connection", ...statusOf(known) });
      } else {
        profiles.push({ profile, folder, phase: { phase: "idle" }, rates: [3, 0], stale: false });
      }
      keepSecrets(profile.id, edits);
      libraryChanged();
      return copy(profile);
    },
    async renameProfile(id, name) {
      get(id).profile.name = name;
      libraryChanged();
    },
    async duplicateProfile(id) {
      const from = get(id);
      const profile = { ...copy(from.profile), id: freshId("p"), name: `${from.profile.name} copy` };
      profiles.splice(profiles.indexOf(from) + 1, 0, { ...from, profile, phase: { phase: "idle" } });
      libraryChanged();
      return profile;
    },
    async damagedProfile(id) {
      if (!damaged.some((broken) => broken.id === id)) throw failWith("not_found", "It is not there.");
      return '{"settings":{}}';
    },
    async deleteProfile(id) {
      const broken = damaged.find((other) => other.id === id);
      if (broken) {
        deletedDamaged.set(id, broken);
        damaged = damaged.filter((other) => other !== broken);
        libraryChanged();
        return;
      }
      const stored = get(id);
      deletedProfiles.set(id, { stored, index: profiles.indexOf(stored) });
      profiles = profiles.filter((other) => other !== stored);
      libraryChanged();
    },
    async previewImport(input, passphrase) {
      return planned(input, passphrase);
    },
    async applyImport(_, rows) {
      const added = importedRows().filter(({ index }) => index !== null && rows.includes(index));
      for (const { id, name, url } of added) {
        const { endpoint } = parseUrl(url, "mqtt");
        const profile: Profile = { id, name, endpoint, settings: defaultSettings() };
        profiles.push({ profile, folder: null, phase: { phase: "idle" }, rates: [0, 0], stale: false });
      }
      libraryChanged();
      return {
        folders: [],
        profiles: added.map(({ id, name, url }) => ({ id, name, folder: null, renamed_from: null, url })),
        secrets: added.flatMap(({ secrets }) => secrets).length,
        secrets_error: null,
      };
    },
    async dropImport() {},
    async exportConnections(_, only) {
      return {
        profiles: only?.length ?? profiles.length,
        secrets: 0,
        without_key: [],
        missing: 0,
        damaged: [],
      };
    },
    async restoreProfile(id) {
      const broken = deletedDamaged.get(id);
      if (broken) {
        damaged.push(broken);
        deletedDamaged.delete(id);
        libraryChanged();
        return;
      }
      const deleted = deletedProfiles.get(id);
      if (!deleted) throw failWith("not_found", "There is nothing to restore.");
      profiles.splice(deleted.index, 0, deleted.stored);
      deletedProfiles.delete(id);
      libraryChanged();
    },
    async moveProfile(id, folder, index) {
      const stored = get(id);
      const others = profiles.filter((other) => other !== stored);
      stored.folder = folder;
      const before = others.filter((other) => other.folder === folder)[index];
      others.splice(before ? others.indexOf(before) : others.length, 0, stored);
      profiles = others;
      libraryChanged();
    },
    async createFolder(name) {
      const folder = { id: freshId("f"), name, collapsed: false };
      folders.push(folder);
      libraryChanged();
      return { ...folder };
    },
    async renameFolder(id, name) {
      folders = folders.map((folder) => (folder.id === id ? { ...folder, name } : folder));
      libraryChanged();
    },
    async deleteFolder(id) {
      const index = folders.findIndex((folder) => folder.id === id);
      const folder = folders[index];
      if (!folder) throw failWith("not_found", "There is no such folder.");
      const members = profiles.filter((stored) => stored.folder === id);
      deletedFolders.set(id, { folder, index, members: members.map(({ profile }) => profile.id) });
      members.forEach((stored) => (stored.folder = null));
      folders.splice(index, 1);
      libraryChanged();
    },
    async restoreFolder(id) {
      const deleted = deletedFolders.get(id);
      if (!deleted) throw failWith("not_found", "There is nothing to restore.");
      folders.splice(deleted.index, 0, deleted.folder);
      for (const stored of profiles) if (deleted.members.includes(stored.profile.id)) stored.folder = id;
      libraryChanged();
    },
    async collapseFolder(id, collapsed) {
      folders = folders.map((folder) => (folder.id === id ? { ...folder, collapsed } : folder));
      libraryChanged();
    },
    async moveFolder(id, index) {
      const folder = folders.find((other) => other.id === id);
      if (!folder) throw failWith("not_found", "There is no such folder.");
      folders = folders.filter((other) => other !== folder);
      folders.splice(index, 0, folder);
      libraryChanged();
    },
    async secretsSet(id) {
      return secrets.get(id) ?? [];
    },
    async setSecrets(id, edits) {
      keepSecrets(id, edits);
    },
    async vaultStatus() {
      return vaultStatus;
    },
    async checkVault() {
      return changeVault({ state: vaultStatus.keep === "keyring" ? "open" : vaultStatus.state });
    },
    async unlockVault(passphrase) {
      if (passphrase !== VAULT_PASSPHRASE) throw failWith("passphrase_wrong", "This is not the passphrase.");
      return changeVault({ state: "open" });
    },
    async lockVault() {
      return changeVault({ state: "locked" });
    },
    async chooseVault(keep) {
      return changeVault({ keep, state: keep === "session" || keep === "never" ? "off" : "open" });
    },
    async changeVaultPassphrase(current) {
      if (current !== VAULT_PASSPHRASE) throw failWith("passphrase_wrong", "This is not the passphrase.");
      return changeVault({ state: "open" });
    },
    async setVaultAutoLock(minutes) {
      return changeVault({ auto_lock_minutes: minutes });
    },
    async startNewVault() {
      return changeVault({ state: "empty", stored: 0, set_aside: `${vaultStatus.path}.set-aside-1` });
    },
    async inspectFile(path) {
      return fileReport(path);
    },

    async certificateLibrary() {
      return library.list(profiles.map(({ profile }) => profile));
    },
    async addCertificateFiles(paths) {
      paths.forEach((path) => library.added.add(path));
      libraryChanged();
    },
    async addCertificateText(text) {
      if (text.includes("PRIVATE KEY")) {
        throw failWith("invalid_input", "There is a private key in the text.", { field: "text" });
      }
      const path = "/home/mara/.local/share/heliograph/certificates/pasted-ca-1f2e3d4c.pem";
      library.added.add(path);
      libraryChanged();
      return path;
    },
    async keepCertificate() {
      return "/home/mara/.local/share/heliograph/certificates/plant-north-root-ca-1fa093cc.pem";
    },
    async forgetCertificate(path) {
      library.added.delete(path);
      libraryChanged();
    },
    async importIdentity(certificate) {
      const cert_file = "/home/mara/.local/share/heliograph/certificates/press-42-5b1f0c9d.pem";
      return { ...certificate, cert_file, key_file: "vault:6fb51b6e-6b1f-4f8a-9f2d-0d3b5f5e9a11" };
    },
    async exportIdentity() {},
    async tokenKeys(module, _token, _of, secrets) {
      const uri = (label: string) => `pkcs11:token=Plant%20north;object=${label}?module-path=${module}`;
      const key = (label: string, key_type: string, certificate: string) => ({
        label,
        key_type,
        certificate,
        uri: uri(label),
      });
      const hidden = !secrets.some(({ field }) => field.kind === "token_pin");
      return [
        {
          label: "Plant north",
          serial: "a1b2c3d4e5f60718",
          model: "SoftHSM project SoftHSM v2",
          keys: [
            key("press-42", "ECDSA P-256", "press-42"),
            ...(hidden ? [] : [key("spare", "RSA 2048", "")]),
          ],
          hidden,
        },
      ];
    },
    async developmentCa() {
      return library.ca;
    },
    async createDevelopmentCa(name) {
      return library.createCa(name);
    },
    async issueCertificate(request) {
      return library.issue(request);
    },
    async replaceCertificate(change) {
      const changed = profiles.filter(({ profile }) => library.replace(profile, change));
      libraryChanged();
      return changed.map(({ profile }) => profile.id);
    },

    async connections() {
      return profiles.map(statusOf);
    },
    async openConnection(id) {
      return statusOf(get(id));
    },
    async connect(id) {
      const stored = get(id);
      if (stored.profile.settings.login.enabled && !secrets.get(id)?.length) {
        const fields: SecretField[] = [{ kind: "password" }];
        throw failWith("secret_needed", `${stored.profile.name} needs a password.`, { fields });
      }
      setPhase(id, { phase: "connecting", attempt: 1 });
      const failure = stored.profile.name === "Fleet mTLS" ? certificateRefused : null;
      const trace = traceOf(stored.profile, failure);
      emit({
        event: "trace",
        id,
        test: false,
        trace: { ...trace, stages: trace.stages.slice(0, 2), verdict: null },
      });
      setTimeout(() => {
        if (get(id).phase.phase !== "connecting") return;
        stored.stale = false;
        if (stored.rates[0] === 0) stored.rates = [3, 0];
        traces.set(id, [trace, ...(traces.get(id) ?? [])]);
        emit({ event: "trace", id, test: false, trace });
        setPhase(
          id,
          failure
            ? { phase: "failed", failure }
            : { phase: "connected", since: nowMicros(), connack: connack() },
        );
      }, 300);
    },
    async disconnect(id) {
      setPhase(id, { phase: "idle" });
    },
    async retryNow(id) {
      await this.connect(id);
    },
    async stopRetrying(id) {
      const { phase } = get(id);
      setPhase(
        id,
        phase.phase === "waiting" ? { phase: "failed", failure: phase.failure } : { phase: "idle" },
      );
    },
    async testConnection(draft) {
      const endpoint: Endpoint = draft.endpoint;
      const trace = traceOf({ endpoint, settings: draft.settings }, null);
      emit({ event: "trace", id: draft.id, test: true, trace });
      return trace;
    },
    async cancelTest() {},
    async probe(draft) {
      return probeOf(draft.endpoint);
    },
    async cancelProbe() {},
    async traces(id) {
      return traces.get(id) ?? [];
    },
    async saveSubscription(id, wanted) {
      const stored = get(id);
      const all = stored.profile.settings.subscriptions;
      const at = all.findIndex((other) => other.filter === wanted.filter);
      if (at >= 0) all[at] = copy(wanted);
      else all.push(copy(wanted));
      emit({ event: "connection", ...statusOf(stored) });
      return stored.phase.phase === "connected" && wanted.enabled
        ? { state: "granted", qos: wanted.qos }
        : { state: "inactive" };
    },
    async deleteSubscription(id, filter) {
      const stored = get(id);
      const { settings } = stored.profile;
      settings.subscriptions = settings.subscriptions.filter((other) => other.filter !== filter);
      emit({ event: "connection", ...statusOf(stored) });
    },
    async publish(id, request) {
      if (get(id).phase.phase !== "connected")
        throw failWith("not_connected", "This connection is not connected.");
      const history = rowsOf(id);
      history.push({
        seq: history.length + 1,
        time: nowMicros(),
        pinned: false,
        kind: "message",
        direction: "out",
        topic: request.topic,
        qos: request.qos,
        retain: request.retain,
        dup: false,
        size: new TextEncoder().encode(request.payload.text).length,
        preview: request.payload.text.slice(0, 256),
        preview_hex: false,
        content_type: request.properties.content_type,
      });
      return {
        qos: request.qos,
        code: request.qos ? 0 : null,
        reason: "Success",
        reason_string: null,
        micros: 17_000,
      };
    },

    async openView(id, filter) {
      const view = nextView++;
      views.set(view, { id, filter });
      return { view, count: countOf(view) };
    },
    async closeView(view) {
      views.delete(view);
    },
    async stopSearch() {},
    async page(view, start, limit) {
      return { start, rows: viewRows(view).slice(start, start + limit), count: countOf(view) };
    },
    async indexAt(view, time) {
      return viewRows(view).filter((row) => row.time < time).length;
    },
    async exportMessages(id, _filter, _format, path) {
      return transfer(id, "export", path);
    },
    async recordMessages(id, path) {
      return transfer(id, "record", path);
    },
    async importMessages(id, path) {
      transfer(id, "import", path);
      return id;
    },
    async replayFile(id, path) {
      return transfer(id, "replay", path);
    },
    async transfers() {
      return [...transfers.values()];
    },
    async pauseTransfer(id, paused) {
      changeTransfer(id, { state: paused ? "paused" : "running" });
    },
    async stopTransfer(id) {
      const recording = transfers.get(id)?.kind === "record";
      const error = failWith("cancelled", "It was stopped");
      changeTransfer(id, recording ? { state: "done" } : { state: "failed", error });
    },
    async keeping() {
      return copy(keeping);
    },
    async setKeeping(wanted) {
      keeping = copy(wanted);
    },
    async tail(view, limit, after) {
      const matching = viewRows(view);
      let start = Math.max(0, matching.length - limit);
      while (after !== null && start < matching.length && matching[start]!.seq <= after) start++;
      return { start, rows: matching.slice(start), count: countOf(view) };
    },
    async indexOf(view, seq) {
      const index = viewRows(view).findIndex((row) => row.seq === seq);
      return index < 0 ? null : index;
    },
    async messageDetail(id, seq) {
      const row = rowsOf(id).find((other) => other.seq === seq);
      if (!row) throw failWith("not_found", "This message is not stored any more.");
      return {
        row,
        properties: {
          content_type: row.kind === "message" ? (row.content_type ?? undefined) : undefined,
          subscription_ids: [],
          user_properties: row.seq % 3 === 0 ? [{ name: "trace-id", value: `5c3e9a-${row.seq}` }] : [],
        },
        since_previous_micros: row.seq > 20 ? 1_004_000 : null,
        previous_seq: row.seq > 20 ? row.seq - 7 : null,
      };
    },
    async messagePayload(id, seq, offset, limit) {
      return payloadBytes(id, seq).slice(offset, offset + limit);
    },
    async saveMessagePayload(id, seq) {
      return (await this.messagePayload(id, seq, 0, Number.MAX_SAFE_INTEGER)).length;
    },
    async pinMessage(id, seq, pinned) {
      const row = rowsOf(id).find((other) => other.seq === seq);
      if (!row) throw failWith("not_found", "This message is not stored any more.");
      row.pinned = pinned;
    },
    async comparePayloads(id, a, b) {
      const [left, right] = [payloadBytes(id, a), payloadBytes(id, b)];
      const places = differingPlaces(left, right);
      const starts = places.filter((at, index) => at - 1 !== places[index - 1]);
      return {
        size_a: left.length,
        size_b: right.length,
        differing: places.length,
        stretches: starts.length,
        first: places[0] ?? null,
      };
    },
    async findDifference(id, a, b, offset, backwards) {
      const places = differingPlaces(payloadBytes(id, a), payloadBytes(id, b));
      const start = backwards
        ? places.filter((at) => at < offset && !places.includes(at - 1)).at(-1)
        : places.find((at) => at >= offset);
      if (start === undefined) return null;
      let end = start;
      while (places.includes(end)) end++;
      return { start, end };
    },
    async clearHistory(id) {
      const { length } = rowsOf(id);
      rows.set(id, []);
      emit({ event: "connection", ...statusOf(get(id)) });
      return length;
    },

    async brokerStatus() {
      return copy(broker);
    },
    async startBroker(options) {
      broker = {
        ...broker,
        running: true,
        error: null,
        options: copy(options),
        urls: brokerUrls(options.ports),
      };
      emit({ event: "broker", ...copy(broker) });
      return copy(broker);
    },
    async lendBrokerPassword() {},
    async stopBroker() {
      broker = { ...broker, running: false, urls: [] };
      emit({ event: "broker", ...copy(broker) });
      return copy(broker);
    },

    async appInfo() {
      return {
        version: "0.1.0",
        platform: "linux",
        data_dir: "/home/ana/.local/share/heliograph",
        history_bytes: 898_000_000,
      };
    },
    async value<T>(key: string) {
      const text = values.get(key);
      return text === undefined ? null : (JSON.parse(text) as T);
    },
    async setValue(key, value) {
      values.set(key, JSON.stringify(value));
    },
    async writeTextFile() {},
    async pickFile({ title }) {
      return typeof window.prompt === "function" ? window.prompt(title) : null;
    },
    async pickSavePath({ title, defaultPath }) {
      return typeof window.prompt === "function" ? window.prompt(title, defaultPath ?? "") : null;
    },
    async copyText(text) {
      await navigator.clipboard?.writeText(text);
    },
    onFileDrag: () => () => {},
    async closeWindow() {},
    onClosing: () => () => {},
    onEvent(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

const query = new URLSearchParams(typeof location === "object" ? location.search : "");

/** What `$lib/backend` gets in fixture mode: `?empty` for the first run, `?still` without new messages. */
export const tauri: Backend = fixtureBackend({
  empty: query.has("empty"),
  live: typeof location === "object" && location.protocol === "http:" && !query.has("still") && !isTest(),
});

function isTest(): boolean {
  return typeof process === "object" && process.env?.VITEST !== undefined;
}
