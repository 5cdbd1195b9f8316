/** A stored message as other things: a draft to publish again, an object to copy. */
import { backend } from "$lib/backend";
import type { ProfileId } from "$lib/backend/types/ProfileId";
import type { Row } from "$lib/backend/types/Row";
import { decodeText, hexPairs, toBase64 } from "$lib/payload/bytes";
import { looksLikeJson, prettyJson } from "$lib/payload/json";
import type { Draft } from "$lib/state/drafts.svelte";
import { PORTION, wholePayload } from "./payload.svelte";

export type MessageRow = Extract<Row, { kind: "message" }>;

/** Rows from this number on are in memory alone: those of subscriptions that are not stored. */
const LIVE_FROM = 2 ** 40;

/** Whether a message is shown and not stored. */
export function isLiveOnly(row: MessageRow): boolean {
  return row.seq >= LIVE_FROM;
}

/** The draft that publishes a message again; null when its payload is too large to edit. */
export async function draftOf(id: ProfileId, row: MessageRow): Promise<Partial<Draft> | null> {
  const bytes = await wholePayload(id, row.seq, row.size, PORTION);
  if (!bytes) return null;
  const { properties } = await backend.messageDetail(id, row.seq);
  return {
    topic: row.topic,
    ...payloadOf(bytes),
    qos: row.qos,
    retain: row.retain,
    payloadFormat:
      properties.payload_format_utf8 === undefined
        ? "none"
        : properties.payload_format_utf8
          ? "utf8"
          : "bytes",
    expiry: properties.message_expiry_s?.toString() ?? "",
    contentType: properties.content_type ?? "",
    responseTopic: properties.response_topic ?? "",
    correlation: properties.correlation_data_hex ?? "",
    correlationFormat: properties.correlation_data_hex === undefined ? "utf8" : "hex",
    user: properties.user_properties,
  };
}

function payloadOf(bytes: Uint8Array): Pick<Draft, "payload" | "format"> {
  const text = decodeText(bytes, true);
  if (!text.ok) {
    return bytes.length <= 4096
      ? { payload: hexPairs(bytes), format: "hex" }
      : { payload: toBase64(bytes), format: "base64" };
  }
  const json = looksLikeJson(text.text) && prettyJson(text.text).ok;
  return { payload: text.text, format: json ? "json" : "text" };
}

/** A message as one JSON object, the way the command line prints it; null when its payload is too large. */
export async function messageJson(id: ProfileId, row: MessageRow): Promise<string | null> {
  const bytes = await wholePayload(id, row.seq, row.size);
  if (!bytes) return null;
  const { properties } = await backend.messageDetail(id, row.seq);
  const text = decodeText(bytes, true);
  const micros = String(row.time % 1_000_000).padStart(6, "0");
  const time = new Date(row.time / 1000).toISOString().replace(/\.\d+Z$/, `.${micros}Z`);
  return JSON.stringify(
    {
      time,
      direction: row.direction,
      topic: row.topic,
      qos: row.qos,
      retain: row.retain,
      dup: row.dup,
      payload: text.ok ? text.text : toBase64(bytes),
      encoding: text.ok ? "utf8" : "base64",
      properties,
    },
    null,
    2,
  );
}
