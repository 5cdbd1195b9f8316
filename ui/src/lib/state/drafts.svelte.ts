/**
 * What is being written in the composer of each connection, and what was published from it. In: typing,
 * messages to republish. Out: the draft and its history, kept across restarts. Never sends anything.
 */
import { backend } from "$lib/backend";
import type { ProfileId } from "$lib/backend/types/ProfileId";
import type { PublishRequest } from "$lib/backend/types/PublishRequest";
import type { Qos } from "$lib/backend/types/Qos";
import type { UserProperty } from "$lib/backend/types/UserProperty";
import { keepSoon } from "./keeping";

export type PayloadFormat = "json" | "text" | "hex" | "base64" | "file";

/** A publication as typed: numbers are still text. */
export interface Draft {
  topic: string;
  payload: string;
  format: PayloadFormat;
  /** The path of what is sent instead of `payload`, when the format is `file`. */
  file: string;
  qos: Qos;
  retain: boolean;
  payloadFormat: "none" | "bytes" | "utf8";
  expiry: string;
  contentType: string;
  responseTopic: string;
  correlation: string;
  correlationFormat: "utf8" | "hex" | "base64";
  topicAlias: string;
  user: UserProperty[];
}

export interface Published {
  draft: Draft;
  /** Unix microseconds. */
  at: number;
}

const KEPT = 100;
/** Larger payloads are not kept across restarts; the rest of their draft is. */
const SAVED_CHARS = 256 * 1024;

export function emptyDraft(): Draft {
  return {
    topic: "",
    payload: "",
    format: "json",
    file: "",
    qos: 0,
    retain: false,
    payloadFormat: "none",
    expiry: "",
    contentType: "",
    responseTopic: "",
    correlation: "",
    correlationFormat: "utf8",
    topicAlias: "",
    user: [],
  };
}

/** How many MQTT 5 properties a draft sets. */
export function propertyCount(draft: Draft): number {
  const texts = [draft.expiry, draft.contentType, draft.responseTopic, draft.correlation, draft.topicAlias];
  return (
    texts.filter((text) => text !== "").length +
    (draft.payloadFormat === "none" ? 0 : 1) +
    draft.user.filter(({ name, value }) => name !== "" || value !== "").length
  );
}

/** The draft as the engine takes it; without properties for MQTT 3.1.1. */
export function toRequest(draft: Draft, v5: boolean): PublishRequest {
  const text = (value: string) => (v5 && value !== "" ? value : null);
  const number = (value: string) => (v5 && value.trim() !== "" ? Number(value) : null);
  return {
    topic: draft.topic,
    payload: {
      text: draft.format === "file" ? draft.file : draft.payload,
      encoding: draft.format === "json" || draft.format === "text" ? "utf8" : draft.format,
    },
    qos: draft.qos,
    retain: draft.retain,
    properties: {
      payload_format_utf8: v5 && draft.payloadFormat !== "none" ? draft.payloadFormat === "utf8" : null,
      message_expiry_s: number(draft.expiry),
      content_type: text(draft.contentType),
      response_topic: text(draft.responseTopic),
      correlation_data:
        v5 && draft.correlation !== ""
          ? { text: draft.correlation, encoding: draft.correlationFormat }
          : null,
      topic_alias: number(draft.topicAlias),
      user_properties: v5 ? draft.user.filter(({ name, value }) => name !== "" || value !== "") : [],
    },
  };
}

/** A draft as it was kept, perhaps by an earlier version, whose files stood in the payload's place. */
function whole(kept: Partial<Draft>): Draft {
  const draft = { ...emptyDraft(), ...kept };
  if (draft.format === "file" && kept.file === undefined) [draft.file, draft.payload] = [draft.payload, ""];
  return draft;
}

export class Composer {
  draft = $state<Draft>(emptyDraft());
  history = $state.raw<readonly Published[]>([]);
  /** Raised when somebody else filled the draft, so that the composer shows itself. */
  filled = $state(0);
  readonly ready: Promise<void>;
  /** Place in the history while stepping through it; −1 is the draft itself. */
  #step = -1;
  #own: Draft | null = null;
  #touched = false;
  readonly #id: ProfileId;

  constructor(id: ProfileId) {
    this.#id = id;
    this.ready = this.#restore();
  }

  /** Topics published to, newest first, each once. */
  get recentTopics(): string[] {
    return [...new Set(this.history.map(({ draft }) => draft.topic))];
  }

  /** Says that the draft was changed by hand. */
  changed(): void {
    this.#step = -1;
    this.#own = null;
    this.save();
  }

  fill(draft: Partial<Draft>): void {
    this.draft = { ...emptyDraft(), ...draft };
    this.changed();
    this.filled++;
  }

  published(at: number): void {
    const draft = $state.snapshot(this.draft);
    if (draft.payload.length > SAVED_CHARS) return;
    const same = JSON.stringify(draft);
    const rest = this.history.filter((entry) => JSON.stringify(entry.draft) !== same);
    this.history = [{ draft, at }, ...rest].slice(0, KEPT);
    this.#step = -1;
    this.#own = null;
    void backend.setValue(`publish.history.${this.#id}`, this.history).catch(() => {});
  }

  clearHistory(): void {
    this.history = [];
    void backend.setValue(`publish.history.${this.#id}`, []).catch(() => {});
  }

  /** Puts the next older (1) or newer (−1) publication into the draft; the draft itself is the newest. */
  step(by: 1 | -1): void {
    const to = this.#step + by;
    if (to < -1 || to >= this.history.length) return;
    this.#own ??= $state.snapshot(this.draft);
    this.#step = to;
    const shown = to === -1 ? this.#own : this.history[to]?.draft;
    if (shown) this.draft = structuredClone(shown);
    if (to === -1) this.#own = null;
    this.save();
  }

  save(): void {
    this.#touched = true;
    keepSoon(`publish.draft.${this.#id}`, () => {
      const { payload, ...rest } = $state.snapshot(this.draft);
      return { ...rest, payload: payload.length > SAVED_CHARS ? "" : payload };
    });
  }

  async #restore(): Promise<void> {
    const [draft, history] = await Promise.all([
      backend.value<Draft>(`publish.draft.${this.#id}`).catch(() => null),
      backend.value<Published[]>(`publish.history.${this.#id}`).catch(() => null),
    ]);
    if (draft && !this.#touched) this.draft = whole(draft);
    if (history) this.history = history.slice(0, KEPT).map(({ draft, at }) => ({ draft: whole(draft), at }));
  }
}

const composers = new Map<ProfileId, Composer>();

/** The composer of a connection. */
export function composerOf(id: ProfileId): Composer {
  let composer = composers.get(id);
  if (!composer) composers.set(id, (composer = new Composer(id)));
  return composer;
}
