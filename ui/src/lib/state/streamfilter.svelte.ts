/** What the stream of each connection is narrowed to. In: choices of a person. Out: the filter for a view. */
import { backend } from "$lib/backend";
import type { Direction } from "$lib/backend/types/Direction";
import type { ProfileId } from "$lib/backend/types/ProfileId";
import type { Qos } from "$lib/backend/types/Qos";
import type { RowFilter } from "$lib/backend/types/RowFilter";

/** The part of a filter that stands behind the filter button. */
export interface Criteria {
  qos: Qos[];
  retain: boolean | null;
  pinned: boolean;
  /** In microseconds since the Unix epoch. */
  since: number | null;
  until: number | null;
  min_size: number | null;
  max_size: number | null;
  property: string;
  json: string;
}

function noCriteria(): Criteria {
  return {
    qos: [],
    retain: null,
    pinned: false,
    since: null,
    until: null,
    min_size: null,
    max_size: null,
    property: "",
    json: "",
  };
}

/** How many of the criteria say something. */
function countCriteria(criteria: Criteria): number {
  const { qos, retain, pinned, since, until, min_size, max_size, property, json } = criteria;
  const said = [
    qos.length > 0,
    retain !== null,
    pinned,
    since !== null || until !== null,
    min_size !== null || max_size !== null,
    property.trim() !== "",
    json.trim() !== "",
  ];
  return said.filter(Boolean).length;
}

export class StreamFilter {
  text = $state("");
  regex = $state(false);
  caseSensitive = $state(false);
  direction = $state<Direction | null>(null);
  /** Topic filters and topics, any of which a message must match; all when empty. */
  topics = $state.raw<readonly string[]>([]);
  criteria = $state<Criteria>(noCriteria());
  /** Whether the messages are shown that are live only, instead of what is stored. */
  live = $state(false);

  /** As the engine takes it. Text between slashes is a regular expression. */
  get rows(): RowFilter {
    const slashed = /^\/(.+)\/$/s.exec(this.text)?.[1];
    return {
      text: slashed ?? this.text,
      regex: slashed !== undefined || (this.regex && this.text !== ""),
      case_sensitive: this.caseSensitive,
      topics: [...this.topics],
      direction: this.direction,
      live: this.live,
      ...$state.snapshot(this.criteria),
    };
  }

  /** How many criteria stand behind the filter button. */
  get more(): number {
    return countCriteria(this.criteria);
  }

  get empty(): boolean {
    return this.text === "" && this.direction === null && this.topics.length === 0 && this.more === 0;
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

  /** Takes over a filter that was saved. */
  apply({ text, regex, case_sensitive, topics, direction, live, ...criteria }: RowFilter): void {
    this.text = text;
    this.regex = regex;
    this.caseSensitive = case_sensitive;
    this.topics = topics;
    this.direction = direction;
    this.live = live ?? false;
    // What was saved by an earlier version knows less.
    this.criteria = { ...noCriteria(), ...criteria };
  }

  clearCriteria(): void {
    this.criteria = noCriteria();
  }

  clear(): void {
    this.text = "";
    this.direction = null;
    this.topics = [];
    this.clearCriteria();
  }
}

const filters = new Map<ProfileId, StreamFilter>();

/** The filter of a connection; it lives as long as the window. */
export function streamFilter(id: ProfileId): StreamFilter {
  let filter = filters.get(id);
  if (!filter) filters.set(id, (filter = new StreamFilter()));
  return filter;
}

/** The filter that lets everything through. */
export function noFilter(): RowFilter {
  return new StreamFilter().rows;
}

/** A filter under a name. */
export interface SavedFilter {
  name: string;
  filter: RowFilter;
}

const KEY = "stream.filters";

/** Filters that were saved, of all connections. */
class SavedFilters {
  list = $state.raw<readonly SavedFilter[]>([]);

  async load(): Promise<void> {
    this.list = (await backend.value<SavedFilter[]>(KEY)) ?? [];
  }

  /** Keeps a filter; one of the same name gives way. */
  async save(name: string, filter: RowFilter): Promise<void> {
    const others = this.list.filter((saved) => saved.name !== name);
    await this.#keep([...others, { name, filter }].sort((a, b) => a.name.localeCompare(b.name)));
  }

  async remove(name: string): Promise<void> {
    await this.#keep(this.list.filter((saved) => saved.name !== name));
  }

  async #keep(list: SavedFilter[]): Promise<void> {
    await backend.setValue(KEY, list);
    this.list = list;
  }
}

export const savedFilters = new SavedFilters();
