/** Words for what the engine names. */
import type { EventKind } from "$lib/backend/types/EventKind";
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
