/** A whole trace as Markdown, to be pasted into an issue. Traces hold no secrets, so neither does it. Pure. */
import type { CertificateInfo } from "$lib/backend/types/CertificateInfo";
import type { Trace } from "$lib/backend/types/Trace";
import { failureWords, stageName } from "$lib/failures";
import { date, dateTime, duration, fingerprint, millis } from "$lib/format";
import { m } from "$messages";
import { evidenceOf } from "./evidence";
import { type Fact, facts } from "./facts";
import { cells, schemeOfUrl } from "./stages";

export function traceReport(trace: Trace, name: string): string {
  const failure = trace.verdict?.failure;
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
  for (const { micros, stage, text } of trace.log) {
    lines.push(`${millis(micros).padStart(8)}  ${stage.padEnd(9)}  ${text.replaceAll("```", "'''")}`);
  }
  lines.push("```", "");
  return lines.join("\n");
}

export function headline(trace: Trace, test = false): string {
  if (!trace.verdict) return test ? m.trace_testing() : m.trace_connecting();
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
  return headers.map(({ name, value }) => `- ${title}: ${code(`${name}: ${value}`)}`);
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
