/**
 * A whole trace as Markdown with versions and settings, to be pasted into an issue. Traces and drafts hold no
 * secrets; what a person wrote into a header or a query that reads like one is masked all the same. Pure.
 */
import type { CertificateInfo } from "$lib/backend/types/CertificateInfo";
import type { AppInfo } from "$lib/backend/types/AppInfo";
import type { ProfileDraft } from "$lib/backend/types/ProfileDraft";
import type { Trace } from "$lib/backend/types/Trace";
import { urlText } from "$lib/endpoint";
import { failureWords, stageName } from "$lib/failures";
import { date, dateTime, duration, fingerprint, millis, span } from "$lib/format";
import { m } from "$messages";
import { evidenceOf } from "./evidence";
import { type Fact, facts } from "./facts";
import { cells, schemeOfUrl } from "./stages";
import { timingWords } from "./timing";
import { logWords } from "./words";

/** What a report says beside the trace. */
export interface ReportContext {
  app: AppInfo;
  draft: ProfileDraft | null;
}

export function traceReport(trace: Trace, name: string, { app, draft }: ReportContext): string {
  const failure = trace.verdict?.failure ?? trace.end?.failure;
  const lines = [`# ${name}: ${headline(trace)}`, ""];
  lines.push(
    `\`${trace.url}\` · ${dateTime(trace.started_at)} · ${m.trace_attempt({ n: trace.attempt })}`,
    "",
  );

  lines.push(`| | | ms | |`, `| --- | --- | ---: | --- |`);
  for (const { stage, state, micros, fact } of cells(trace)) {
    const sign = { ok: "✓", failed: "✗", running: "…", waiting: "…", skipped: "–" }[state];
    lines.push(
      `| ${sign} | ${stageName(stage)} | ${micros === null ? "–" : millis(micros)} | ${cell(fact)} |`,
    );
  }
  lines.push("");

  if (failure) {
    const { title, what, why, detail } = failureWords(failure, trace.url);
    lines.push(`## ${m.trace_happened()}`, "", `**${title}** (\`${failure.code}\`)`, "");
    lines.push(what, "", `${m.trace_cause()}: ${why}`, "");
    if (detail) lines.push(`${m.failure_in_detail()} ${detail}`, "");
    if (failure.seen_during !== failure.stage) {
      lines.push(lateSentence(failure.seen_during, failure.stage), "");
    }
    const evidence = evidenceOf(failure.evidence);
    if (evidence.length > 0) {
      lines.push(`## ${m.trace_evidence()}`, "");
      for (const { name: key, text } of evidence) lines.push(`- ${key}: ${code(text)}`);
      lines.push("");
    }
    if (failure.fixes.length > 0) {
      lines.push(`## ${m.trace_fixes()}`, "", ...failure.fixes.map(({ label }) => `- ${label}`), "");
    }
    lines.push(m.trace_stayed({ scheme: schemeOfUrl(trace.url) }), "");
  }

  for (const report of trace.stages) {
    const list = facts(report);
    if (report.outcome === "skipped" || list.length === 0) continue;
    lines.push(`## ${stageName(report.stage)}`, "", ...list.flatMap(factLines));
    if (report.stage === "tls") {
      for (const certificate of report.detail.server_chain) {
        lines.push(certificateLine(m.cert_server(), certificate));
      }
      if (report.detail.client_cert_issuers.length > 0) {
        lines.push(`- ${m.fact_accepts()}: ${report.detail.client_cert_issuers.map(code).join(", ")}`);
      }
      lines.push(`- ${m.fact_client_certificate()}: ${clientCertificateSentence(report.detail)}`);
    }
    if (report.stage === "websocket") {
      lines.push(...headerLines(m.fact_request_headers(), report.detail.request_headers));
      lines.push(...headerLines(m.fact_response_headers(), report.detail.response_headers));
    }
    lines.push("");
  }

  lines.push(`## ${m.trace_log()}`, "", "```");
  for (const line of trace.log) {
    const { micros, stage } = line;
    const text = logWords(line, trace);
    lines.push(`${millis(micros).padStart(8)}  ${stage.padEnd(9)}  ${text.replaceAll("```", "'''")}`);
  }
  lines.push("```", "");
  if (trace.timing.length > 0) {
    lines.push(`## ${m.timing_title()}`, "", ...trace.timing.map((remark) => `- ${timingWords(remark)}`), "");
  }
  if (draft) lines.push(`## ${m.report_settings()}`, "", ...settingsLines(draft), "");
  lines.push(`Heliograph ${app.version}, ${app.platform}`, "");
  return maskQueries(lines.join("\n"));
}

/** The settings that an attempt depends on, the others left out. */
function settingsLines({ endpoint, settings }: ProfileDraft): string[] {
  const { login, client_certificate, trust, tls, websocket, proxy, session, will, timing } = settings;
  const shown: Record<string, unknown> = {
    url: urlText(endpoint),
    login: login.enabled,
    client_certificate: client_certificate.enabled && {
      cert_file: client_certificate.cert_file,
      key_file: client_certificate.key_file,
    },
    trust,
    tls,
    websocket: endpoint.websocket && {
      subprotocol: websocket.subprotocol,
      headers: websocket.headers.map(({ name }) => `${name}: ${MASK}`),
    },
    proxy: proxy.kind !== "none" && { kind: proxy.kind, host: proxy.host, port: proxy.port },
    session: { ...session, user_properties: session.user_properties.map(({ name }) => `${name}=${MASK}`) },
    will: will.enabled && { topic: will.topic, qos: will.qos, retain: will.retain },
    timing,
  };
  return ["```json", JSON.stringify(shown, null, 2).replaceAll("```", "~~~"), "```"];
}

const MASK = "•••";

/** Query parameters whose names say that their values are secret, as in signed URLs. */
function maskQueries(text: string): string {
  return text.replace(
    /([?&][^=&\s`"]*(?:token|key|secret|sig|auth|pass|credential|session)[^=&\s`"]*=)[^&\s`"]+/gi,
    `$1${MASK}`,
  );
}

export function headline(trace: Trace, test = false): string {
  if (!trace.verdict) return test ? m.trace_testing() : m.trace_connecting();
  const { end } = trace;
  if (end) {
    const time = end.lasted_micros < 60_000_000 ? duration(end.lasted_micros) : span(end.lasted_micros);
    return end.failure ? m.trace_lost_after({ time }) : m.trace_ended_after({ time });
  }
  const time = duration(trace.verdict.micros);
  return trace.verdict.outcome === "connected"
    ? m.trace_connected_in({ time })
    : m.trace_failed_after({ time });
}

export function lateSentence(seen: Trace["stages"][number]["stage"], cause: typeof seen): string {
  return m.trace_late({ stage: stageName(seen), cause: stageName(cause) });
}

export function clientCertificateSentence(tls: {
  client_cert_asked: boolean;
  client_cert_sent: CertificateInfo | null;
}): string {
  if (!tls.client_cert_asked) return m.fact_client_cert_not_asked();
  if (!tls.client_cert_sent) return m.fact_client_cert_asked_none();
  return m.fact_client_cert_asked_sent({ subject: tls.client_cert_sent.subject });
}

function factLines({ label, lines }: Fact): string[] {
  return lines.map(({ text, note }) => `- ${label}: ${code(text)}${note ? ` (${note})` : ""}`);
}

function certificateLine(role: string, certificate: CertificateInfo): string {
  const dates = `${date(certificate.not_before)} – ${date(certificate.not_after)}`;
  return `- ${role}: ${code(certificate.subject)}, ${m.cert_issuer()} ${code(certificate.issuer)}, ${dates}, SHA-256 ${code(fingerprint(certificate.sha256))}`;
}

function headerLines(title: string, headers: { name: string; value: string }[]): string[] {
  const shown = (name: string, value: string) =>
    /auth|cookie|token|secret|api-?key/i.test(name) ? MASK : value;
  return headers.map(({ name, value }) => `- ${title}: ${code(`${name}: ${shown(name, value)}`)}`);
}

/** A code span that a backtick or a line break in the text cannot leave. */
function code(text: string): string {
  const flat = text.replace(/\s*\n\s*/g, " ");
  const fence = "`".repeat(Math.max(0, ...(flat.match(/`+/g) ?? []).map((run) => run.length)) + 1);
  return fence.length === 1 ? `\`${flat}\`` : `${fence} ${flat} ${fence}`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replace(/\s*\n\s*/g, " ");
}
