/**
 * Two messages side by side. In: which ones. Out: whether their payloads are the same, where they differ, and, when both
 * are short texts, their lines. The engine compares; what is here of a large payload is what is on screen.
 */
import { backend } from "$lib/backend";
import type { Comparison } from "$lib/backend/types/Comparison";
import type { Difference } from "$lib/backend/types/Difference";
import type { ProfileId } from "$lib/backend/types/ProfileId";
import { errorText } from "$lib/report";
import { decodeText, readable } from "$lib/payload/bytes";
import { looksLikeJson, prettyJson } from "$lib/payload/json";
import { diffLines, type DiffLine } from "$lib/payload/linediff";
import type { MessageRow } from "./message";
import { PayloadPages } from "./pages.svelte";
import { wholePayload } from "./payload.svelte";

/** Texts up to this size are compared by line. */
const TEXT = 256 * 1024;

export interface Side {
  row: MessageRow;
  pages: PayloadPages;
}

export class Compared {
  sides = $state.raw<[Side, Side] | null>(null);
  result = $state.raw<Comparison | null>(null);
  /** The difference that was gone to. */
  at = $state.raw<Difference | null>(null);
  lines = $state.raw<DiffLine[] | null>(null);
  problem = $state<string | null>(null);
  /** Whether there is none further that way. */
  ended = $state(false);

  constructor(
    readonly id: ProfileId,
    readonly a: number,
    readonly b: number,
  ) {}

  async load(): Promise<void> {
    try {
      const rows = await Promise.all([this.#row(this.a), this.#row(this.b)]);
      const side = (row: MessageRow): Side => ({ row, pages: new PayloadPages(this.id, row.seq, row.size) });
      this.sides = [side(rows[0]), side(rows[1])];
      this.lines = await this.#compareLines(rows);
      this.result = await backend.comparePayloads(this.id, this.a, this.b);
      if (this.result.first !== null) await this.go(false);
    } catch (thrown) {
      this.problem = errorText(thrown);
    }
  }

  /** Goes to the next difference, or to the one before. */
  async go(backwards: boolean): Promise<void> {
    const from = backwards ? (this.at?.start ?? 0) : (this.at?.end ?? 0);
    try {
      const found = await backend.findDifference(this.id, this.a, this.b, from, backwards);
      this.ended = found === null;
      this.at = found ?? this.at;
    } catch (thrown) {
      this.problem = errorText(thrown);
    }
  }

  async #row(seq: number): Promise<MessageRow> {
    const { row } = await backend.messageDetail(this.id, seq);
    if (row.kind !== "message") throw { code: "not_found", message: "", details: {} };
    return row;
  }

  async #compareLines(rows: [MessageRow, MessageRow]): Promise<DiffLine[] | null> {
    const texts = await Promise.all(rows.map((row) => this.#text(row)));
    const [a, b] = texts;
    return a == null || b == null ? null : diffLines(a, b);
  }

  /** The lines of a short text; JSON is laid out first. */
  async #text(row: MessageRow): Promise<string[] | null> {
    const bytes = await wholePayload(this.id, row.seq, row.size, TEXT);
    const text = bytes && decodeText(bytes, true);
    if (!text || !text.ok || !readable(text.text)) return null;
    const json = looksLikeJson(text.text) ? prettyJson(text.text) : null;
    return (json?.ok ? json.text : text.text).split("\n");
  }
}
