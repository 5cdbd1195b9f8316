/** Words for what the engine names. */
import type { EventKind } from "$lib/backend/types/EventKind";
import type { RowFilter } from "$lib/backend/types/RowFilter";
import { bytes } from "$lib/format";
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
