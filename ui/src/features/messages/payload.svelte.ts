/**
 * One message in the inspector. In: which one. Out: its facts and as much of its payload as was asked for.
 * Loads 1 MiB first and more on demand; a payload is never shown whole unless it is small.
 */
import { asEngineError, backend } from "$lib/backend";
import type { MessageDetail } from "$lib/backend/types/MessageDetail";
import type { ProfileId } from "$lib/backend/types/ProfileId";
import { errorText } from "$lib/report";
import { decodeText, hexPairs, readable, type DecodedText } from "$lib/payload/bytes";
import { looksLikeJson, prettyJson, type JsonResult } from "$lib/payload/json";

/** Bytes loaded at once. */
export const PORTION = 1024 * 1024;
/** Bytes that are checked at once: around damage at least so many cannot be read. */
const CHECKED = 16 * 1024;
/** The largest payload that goes into the clipboard. */
export const COPY_LIMIT = 16 * PORTION;

export type PayloadMode = "json" | "text" | "hex";

export class Inspected {
  detail = $state.raw<MessageDetail | null>(null);
  bytes = $state.raw<Uint8Array>(new Uint8Array());
  loading = $state(false);
  problem = $state<string | null>(null);
  /** Whether what comes after the loaded bytes is damaged. What is behind that can be seen as hex. */
  damaged = $state(false);
  #turn = 0;

  readonly size = $derived(this.detail?.row.kind === "message" ? this.detail.row.size : 0);
  readonly complete = $derived(this.bytes.length >= this.size);
  readonly text: DecodedText = $derived(decodeText(this.bytes, this.complete));
  /** The payload as pretty JSON, when it is text; a payload that is not all there may end anywhere. */
  readonly json: JsonResult | null = $derived.by(() => {
    if (!this.text.ok) return null;
    const json = prettyJson(this.text.text);
    const cut = !json.ok && !this.complete && json.problem.kind === "ends";
    return cut ? { ok: true, text: json.text } : json;
  });
  /** How the payload is best shown. */
  readonly best: PayloadMode = $derived.by(() => {
    if (!this.text.ok || !readable(this.text.text)) return "hex";
    if (this.damaged && this.bytes.length === 0) return "hex";
    const row = this.detail?.row;
    const saysJson = row?.kind === "message" && /\bjson\b/i.test(row.content_type ?? "");
    if (saysJson) return "json";
    return looksLikeJson(this.text.text) && this.json?.ok ? "json" : "text";
  });

  async load(id: ProfileId, seq: number): Promise<void> {
    const turn = ++this.#turn;
    this.loading = true;
    try {
      const detail = await backend.messageDetail(id, seq);
      if (turn !== this.#turn) return;
      const size = detail.row.kind === "message" ? detail.row.size : 0;
      const first = size > 0 ? await portion(id, seq, 0) : NOTHING;
      if (turn !== this.#turn) return;
      this.detail = detail;
      this.bytes = new Uint8Array();
      this.#take(first);
    } catch (thrown) {
      if (turn !== this.#turn) return;
      this.detail = null;
      this.damaged = false;
      this.problem = errorText(thrown);
    }
    this.loading = false;
  }

  async more(id: ProfileId): Promise<void> {
    const turn = this.#turn;
    const seq = this.detail?.row.seq;
    if (seq === undefined || this.loading) return;
    this.loading = true;
    const next = await portion(id, seq, this.bytes.length);
    if (turn === this.#turn) this.#take(next);
    this.loading = false;
  }

  #take({ bytes, damaged, problem }: Portion): void {
    this.bytes = joined(this.bytes, bytes);
    this.damaged = damaged;
    this.problem = problem;
  }

  clear(): void {
    this.#turn++;
    this.detail = null;
    this.bytes = new Uint8Array();
    this.problem = null;
    this.damaged = false;
    this.loading = false;
  }
}

interface Portion {
  bytes: Uint8Array;
  /** Whether it ends where the payload is damaged, */
  damaged: boolean;
  /** or cannot be read for another reason. */
  problem: string | null;
}

const NOTHING: Portion = { bytes: new Uint8Array(), damaged: false, problem: null };

/** A portion of a payload from an offset on, as far as it can be read. */
async function portion(id: ProfileId, seq: number, offset: number): Promise<Portion> {
  const read = { ...NOTHING };
  // What cannot be read in one is halved until it is known where the damage begins.
  for (let step = PORTION; step >= CHECKED; step /= 2) {
    try {
      const next = await backend.messagePayload(id, seq, offset + read.bytes.length, step);
      read.bytes = joined(read.bytes, next);
      if (!read.damaged) break;
    } catch (thrown) {
      if (asEngineError(thrown).details["reason"] !== "damaged_messages")
        return { ...read, problem: errorText(thrown) };
      read.damaged = true;
    }
  }
  return read;
}

/** A whole payload; null when it is larger than the limit. */
export async function wholePayload(
  id: ProfileId,
  seq: number,
  size: number,
  limit = COPY_LIMIT,
): Promise<Uint8Array | null> {
  if (size > limit) return null;
  let bytes = new Uint8Array();
  while (bytes.length < size) {
    const next = await backend.messagePayload(id, seq, bytes.length, PORTION);
    if (next.length === 0) break;
    bytes = joined(bytes, next);
  }
  return bytes;
}

/** What goes into the clipboard: text when it is text, else hex pairs. */
export function clipboardText(bytes: Uint8Array): string {
  const text = decodeText(bytes, true);
  return text.ok ? text.text : hexPairs(bytes);
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
