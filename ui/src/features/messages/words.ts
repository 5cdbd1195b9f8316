/** Words for what the engine names. */
import type { EventKind } from "$lib/backend/types/EventKind";
import type { Row } from "$lib/backend/types/Row";
import type { RowFilter } from "$lib/backend/types/RowFilter";
import { failureWords } from "$lib/failures";
import { bytes, count } from "$lib/format";
import { writeMoment } from "$lib/format/moment";
import { m } from "$messages";

export function eventName(event: EventKind): string {
  switch (event) {
    case "connected":
      return m.stream_event_connected();
    case "session_resumed":
      return m.stream_event_session_resumed();
    case "disconnected":
      return m.stream_event_disconnected();
    case "lost":
      return m.stream_event_lost();
    case "connect_failed":
      return m.stream_event_connect_failed();
    case "subscribe_refused":
      return m.stream_event_subscribe_refused();
    case "publish_failed":
      return m.stream_event_publish_failed();
    case "dropped":
      return m.stream_event_dropped();
  }
}

/** What an event is about, in the window's language; in the engine's words where an earlier version kept no more. */
export function eventText({ text, facts }: Pick<EventRow, "text" | "facts">): string {
  switch (facts?.about) {
    case "connection":
      return m.event_connection({ url: facts.url, client: facts.client_id });
    case "goodbye":
      return facts.polite ? m.event_goodbye_polite() : m.event_goodbye_short();
    case "failure": {
      const { what, why, detail } = failureWords(facts.failure, facts.url);
      return [what, why, detail].filter(Boolean).join(" ");
    }
    case "refusal": {
      const { topic, reason, reason_string } = facts;
      const code = `0x${facts.code.toString(16).padStart(2, "0")}`;
      const refusal =
        reason === null ? m.event_refusal_unsaid({ topic, code }) : m.event_refusal({ topic, reason, code });
      return reason_string ? m.event_refusal_said({ refusal, words: reason_string }) : refusal;
    }
    case "unacknowledged":
      return m.event_unacknowledged({ topic: facts.topic });
    case "dropped":
      return facts.count === 1 ? m.event_dropped_one() : m.event_dropped({ count: count(facts.count) });
    default:
      return text;
  }
}

type EventRow = Extract<Row, { kind: "event" }>;

/** The parts of a filter, as they were typed. */
export function filterWords(filter: RowFilter): string {
  const parts = [filter.regex ? `/${filter.text}/` : filter.text, ...filter.topics];
  if (filter.direction === "in") parts.push(m.stream_received());
  if (filter.direction === "out") parts.push(m.stream_sent());
  if (filter.qos.length > 0) parts.push(`QoS ${filter.qos.join(", ")}`);
  if (filter.retain === true) parts.push(m.stream_retained());
  if (filter.retain === false) parts.push(m.stream_filter_retained_not());
  if (filter.pinned) parts.push(m.stream_pinned());
  if (filter.since !== null) parts.push(`≥ ${writeMoment(filter.since)}`);
  if (filter.until !== null) parts.push(`≤ ${writeMoment(filter.until)}`);
  if (filter.min_size !== null) parts.push(`≥ ${bytes(filter.min_size)}`);
  if (filter.max_size !== null) parts.push(`≤ ${bytes(filter.max_size)}`);
  parts.push(filter.property, filter.json);
  return parts.filter((part) => part !== "").join(" · ");
}

/** A short way back in time: `3 s`, `4 min`, `2 h`. */
export function ago(millis: number): string {
  const seconds = Math.max(0, Math.floor(millis / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h`;
}
