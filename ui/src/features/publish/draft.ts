/** What stands in the way of publishing a draft, and what came of it. Pure. */
import type { PublishOutcome } from "$lib/backend/types/PublishOutcome";
import { nameProblem } from "$lib/mqtt/topic";
import { parseBase64, parseHex } from "$lib/payload/bytes";
import { prettyJson, type JsonProblem } from "$lib/payload/json";
import type { Draft } from "$lib/state/drafts.svelte";
import { duration } from "$lib/format";
import { topicProblem } from "$lib/mqtt/words";
import { m } from "$messages";

export type Field = "topic" | "payload" | "expiry" | "topicAlias" | "responseTopic" | "correlation";

/** What must be put right first, by field. JSON that is not valid is shown, but may be sent. */
export function blocking(draft: Draft, v5: boolean, aliasMaximum = 65_535): Partial<Record<Field, string>> {
  const found: Partial<Record<Field, string>> = {};
  const topic = nameProblem(draft.topic);
  if (topic) found.topic = topicProblem(topic);
  if (draft.format === "hex" && parseHex(draft.payload) === null) found.payload = m.publish_bad_hex();
  if (draft.format === "base64" && parseBase64(draft.payload) === null)
    found.payload = m.publish_bad_base64();
  if (draft.format === "file" && draft.file === "") found.payload = m.publish_no_file();
  if (!v5) return found;
  if (!whole(draft.expiry, 0, 4_294_967_295)) found.expiry = m.publish_bad_expiry();
  if (!whole(draft.topicAlias, 1, 65_535)) found.topicAlias = m.publish_bad_alias();
  else if (Number(draft.topicAlias) > aliasMaximum) {
    found.topicAlias =
      aliasMaximum === 0 ? m.publish_no_aliases() : m.publish_alias_maximum({ maximum: aliasMaximum });
  }
  if (draft.responseTopic !== "") {
    const response = nameProblem(draft.responseTopic);
    if (response) found.responseTopic = topicProblem(response);
  }
  if (
    (draft.correlationFormat === "hex" && parseHex(draft.correlation) === null) ||
    (draft.correlationFormat === "base64" && parseBase64(draft.correlation) === null)
  ) {
    found.correlation = draft.correlationFormat === "hex" ? m.publish_bad_hex() : m.publish_bad_base64();
  }
  return found;
}

/** How many bytes the payload has; null for a file or for text that stands for no bytes. */
export function payloadSize(draft: Draft): number | null {
  switch (draft.format) {
    case "json":
    case "text":
      return new TextEncoder().encode(draft.payload).length;
    case "hex":
      return parseHex(draft.payload)?.length ?? null;
    case "base64":
      return parseBase64(draft.payload)?.length ?? null;
    case "file":
      return null;
  }
}

/** Where a JSON payload stops being JSON; null when it does not, is empty or is something else. */
export function jsonProblem(draft: Draft): JsonProblem | null {
  if (draft.format !== "json" || draft.payload.trim() === "") return null;
  const result = prettyJson(draft.payload);
  return result.ok ? null : result.problem;
}

export interface Remark {
  tone: "ok" | "warn" | "err";
  text: string;
}

/** What the broker made of a publication, in words. */
export function outcomeRemark(outcome: PublishOutcome, wanted: number): Remark {
  const words = outcome.reason_string ? `${outcome.reason}: ${outcome.reason_string}` : outcome.reason;
  const code = outcome.code ?? 0;
  if (code >= 0x80) {
    return {
      tone: "err",
      text: m.publish_refused({ reason: words, code: `0x${code.toString(16).padStart(2, "0")}` }),
    };
  }
  const time = duration(outcome.micros);
  let text: string =
    outcome.qos === 0
      ? m.publish_sent()
      : outcome.qos === 1
        ? m.publish_puback({ time })
        : m.publish_pubcomp({ time });
  if (code !== 0) text += ` · ${words}`;
  if (outcome.qos < wanted)
    return { tone: "warn", text: `${text} · ${m.publish_lowered({ qos: outcome.qos })}` };
  return { tone: code === 0 ? "ok" : "warn", text };
}

function whole(text: string, min: number, max: number): boolean {
  if (text.trim() === "") return true;
  return /^\d+$/.test(text.trim()) && Number(text) >= min && Number(text) <= max;
}
