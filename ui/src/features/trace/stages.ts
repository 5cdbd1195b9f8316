/** A trace as a row of cells and a bar drawn to scale. In: a trace. Out: what to draw. Pure. */
import type { Stage } from "$lib/backend/types/Stage";
import type { StageReport } from "$lib/backend/types/StageReport";
import type { Trace } from "$lib/backend/types/Trace";
import { failureTitle } from "$lib/failures";
import { versionName } from "$lib/mqtt/words";
import { m } from "$messages";

export type CellState = "ok" | "failed" | "running" | "waiting" | "skipped";

export interface Cell {
  stage: Stage;
  state: CellState;
  /** How long it took; `null` when it did not run. */
  micros: number | null;
  /** The one fact, or why it did not run. */
  fact: string;
}

export interface Segment {
  stage: Stage;
  state: CellState;
  /** Percent of the whole. */
  left: number;
  width: number;
}

export interface Bar {
  total: number;
  /** Round marks in milliseconds, with where they stand in percent. */
  ticks: { ms: number; left: number }[];
  segments: Segment[];
}

/** Stages that are always shown; the other two appear when they are part of the attempt. */
const ALWAYS: Stage[] = ["dns", "tcp", "tls", "websocket", "mqtt"];
const ORDER: Stage[] = ["identity", "dns", "tcp", "proxy", "tls", "websocket", "mqtt"];

export function schemeOfUrl(url: string): string {
  return url.slice(0, Math.max(0, url.indexOf("://")));
}

/** `mqtt.fleet.example` from its URL. */
export function hostOfUrl(url: string): string {
  const authority = /^[a-z]+:\/\/([^/]*)/.exec(url)?.[1] ?? "";
  return authority.replace(/:\d+$/, "");
}

export function reportOf(trace: Trace, stage: Stage): StageReport | undefined {
  return trace.stages.find((report) => report.stage === stage);
}

export function stateOf(trace: Trace, stage: Stage): CellState {
  const failure = trace.verdict?.failure;
  if (failure?.stage === stage) return "failed";
  const report = reportOf(trace, stage);
  // The stage in which a failure of an earlier one showed had no answer of its own.
  if (failure && failure.seen_during === stage && report?.outcome !== "ok") return "skipped";
  switch (report?.outcome) {
    case "ok":
    case "failed":
      return report.outcome;
    case "running":
      return trace.verdict ? "skipped" : "running";
    case "skipped":
      return "skipped";
    case undefined:
      return trace.verdict || isOff(trace, stage) ? "skipped" : "waiting";
  }
}

export function cells(trace: Trace): Cell[] {
  return ORDER.filter((stage) => ALWAYS.includes(stage) || takesPart(trace, stage)).map((stage) => {
    const report = reportOf(trace, stage);
    const state = stateOf(trace, stage);
    const ran = state === "ok" || state === "failed";
    return { stage, state, micros: ran && report ? report.micros : null, fact: factOf(trace, stage, state) };
  });
}

export function bar(trace: Trace): Bar {
  const ran = trace.stages
    .filter(({ outcome, micros }) => outcome !== "skipped" && (outcome !== "running" || micros > 0))
    .sort((a, b) => a.start_micros - b.start_micros);
  const end = Math.max(0, ...ran.map(({ start_micros, micros }) => start_micros + micros));
  const total = Math.max(1, trace.verdict?.micros ?? end, end);
  const segments = ran.map((report) => ({
    stage: report.stage,
    state: stateOf(trace, report.stage),
    left: (report.start_micros / total) * 100,
    width: (report.micros / total) * 100,
  }));
  const step = roundStep(total / 1000 / 6);
  const ticks: Bar["ticks"] = [];
  for (let ms = 0; ms * 1000 <= total * 0.88; ms += step) ticks.push({ ms, left: (ms * 100_000) / total });
  return { total, ticks, segments };
}

/** The next of 1, 2, 5, 10, 20, 50 … */
function roundStep(raw: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(raw, 0.01)));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= raw) ?? 10;
  return step * power;
}

function takesPart(trace: Trace, stage: Stage): boolean {
  const report = reportOf(trace, stage);
  return report !== undefined && report.outcome !== "skipped";
}

function isOff(trace: Trace, stage: Stage): boolean {
  const scheme = schemeOfUrl(trace.url);
  if (stage === "tls") return scheme === "mqtt" || scheme === "ws";
  return stage === "websocket" && !scheme.startsWith("ws");
}

function factOf(trace: Trace, stage: Stage, state: CellState): string {
  const failure = trace.verdict?.failure;
  if (failure?.stage === stage) return failureTitle(failure.code);
  if (state === "running") return m.trace_running();
  if (state === "waiting") return m.trace_waiting();
  const report = reportOf(trace, stage);
  if (state === "skipped") {
    if (isOff(trace, stage)) return m.trace_off_for({ scheme: schemeOfUrl(trace.url) });
    if (report?.stage === "dns" && report.detail.resolver === "none") return m.trace_is_address();
    if (report?.stage === "dns" && report.detail.resolver === "proxy") return m.trace_by_proxy();
    if (failure) return failure.seen_during === stage ? m.trace_no_answer() : m.trace_not_reached();
    return stage === "dns" ? m.trace_is_address() : m.trace_skipped();
  }
  return report ? doneFact(report) : "";
}

function doneFact(report: StageReport): string {
  switch (report.stage) {
    case "identity": {
      const n = report.detail.files.length;
      return n === 1 ? m.trace_files_one() : m.trace_files({ n });
    }
    case "dns": {
      if (report.detail.resolver === "none") return m.trace_is_address();
      if (report.detail.resolver === "proxy") return m.trace_by_proxy();
      const n = report.detail.addresses.length;
      return n === 1 ? m.trace_addresses_one() : m.trace_addresses({ n });
    }
    case "tcp":
      return report.detail.remote ?? report.detail.attempts[0]?.address ?? "";
    case "proxy":
      return [report.detail.kind, report.detail.answer].filter(Boolean).join(", ");
    case "tls": {
      const version = report.detail.version ?? "TLS";
      if (report.detail.client_cert_sent) return m.trace_cert_sent({ version });
      return report.detail.verified
        ? m.trace_server_verified({ version })
        : m.trace_server_unverified({ version });
    }
    case "websocket":
      return m.trace_subprotocol({
        status: report.detail.status ?? "–",
        name: report.detail.subprotocol ?? m.fact_none(),
      });
    case "mqtt":
      return m.trace_connack({
        code: report.detail.connack?.code ?? "–",
        version: versionName(report.detail.version),
      });
  }
}
