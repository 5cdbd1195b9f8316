/** What the stream of each connection is narrowed to. In: choices of a person. Out: the filter for a view. */
import type { Direction } from "$lib/backend/types/Direction";
import type { ProfileId } from "$lib/backend/types/ProfileId";
import type { RowFilter } from "$lib/backend/types/RowFilter";

export class StreamFilter {
  text = $state("");
  regex = $state(false);
  caseSensitive = $state(false);
  direction = $state<Direction | null>(null);
  /** Topic filters and topics, any of which a message must match; all when empty. */
  topics = $state.raw<readonly string[]>([]);

  /** As the engine takes it. Text between slashes is a regular expression. */
  get rows(): RowFilter {
    const slashed = /^\/(.+)\/$/s.exec(this.text)?.[1];
    return {
      text: slashed ?? this.text,
      regex: slashed !== undefined || (this.regex && this.text !== ""),
      case_sensitive: this.caseSensitive,
      topics: [...this.topics],
      direction: this.direction,
    };
  }

  get empty(): boolean {
    return this.text === "" && this.direction === null && this.topics.length === 0;
  }

  /** Adds a topic filter, or takes it away. */
  toggle(topic: string): void {
    this.topics = this.topics.includes(topic)
      ? this.topics.filter((other) => other !== topic)
      : [...this.topics, topic];
  }

  only(topic: string): void {
    this.topics = [topic];
  }

  remove(topic: string): void {
    this.topics = this.topics.filter((other) => other !== topic);
  }

  clear(): void {
    this.text = "";
    this.direction = null;
    this.topics = [];
  }
}

const filters = new Map<ProfileId, StreamFilter>();

/** The filter of a connection; it lives as long as the window. */
export function streamFilter(id: ProfileId): StreamFilter {
  let filter = filters.get(id);
  if (!filter) filters.set(id, (filter = new StreamFilter()));
  return filter;
}
