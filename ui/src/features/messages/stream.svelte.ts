/**
 * The stream of one connection: which rows there are, which of them are loaded, whether the list follows the
 * newest one, and what is selected. In: a filter, the rows on screen, "something changed". Out: reactive
 * values to paint. Never holds more than the rows around what is on screen, and never moves while paused.
 */
import { asEngineError, backend } from "$lib/backend";
import type { Page } from "$lib/backend/types/Page";
import type { ProfileId } from "$lib/backend/types/ProfileId";
import type { Row } from "$lib/backend/types/Row";
import type { RowFilter } from "$lib/backend/types/RowFilter";
import type { ViewCount } from "$lib/backend/types/ViewCount";
import { errorText } from "$lib/report";
import { Pace } from "./pace";

/** Rows that are loaded and forgotten together. */
const CHUNK = 128;
/** Rows asked for in one call. */
const LIMIT = 256;
/** How many of them lie above the first row that is missing, for scrolling up. */
const LEAD = 64;
/** Rows beyond the screen that are asked for with the newest. */
const MARGIN = 16;
/** Chunks kept on each side of what is on screen, */
const KEPT = 8;
/** and while following, when all of them are others soon: what lives longer is collected later. */
const KEPT_LIVE = 3;
/** How long typing rests before it filters. */
const DEBOUNCE_MS = 120;

/** Where the list is to be scrolled to: a row, or the newest. */
export type Jump = { index: number; center: boolean } | "end";

export class Stream {
  /** Rows that the list has: what is loaded while live, what matches while paused. */
  rows = $state(0);
  count = $state.raw<ViewCount>({
    rows: 0,
    stored: 0,
    searched: 0,
    stopped: false,
    limited: false,
    origin: 0,
    kept: 0,
    pinned: 0,
    damaged: 0,
  });
  /** Whether the list follows the newest row. */
  live = $state(true);
  /** When it was paused, in Unix milliseconds. */
  pausedAt = $state<number | null>(null);
  /** The selected row; it may be hidden by the filter. */
  selectedRow = $state.raw<Row | null>(null);
  /** Where the selected row stands in the list, when it is not hidden. */
  selectedIndex = $state<number | null>(null);
  /** Why the wanted filter is not applied, and which part of it is to blame. */
  filterProblem = $state.raw<{ field: string; message: string } | null>(null);
  /** Why rows cannot be shown. */
  problem = $state<string | null>(null);
  /** Whether the first rows are there. */
  ready = $state(false);
  /** Whether the filter is still being applied to what is stored. */
  searching = $state(false);
  /** Scrolls the list; set by whoever shows it. */
  onjump: (jump: Jump) => void = () => {};
  /** So many rows before those on screen are gone, or came when negative: the list counts anew without moving. */
  onshift: (by: number) => void = () => {};

  readonly id: ProfileId;
  #painted = $state(0);
  #pausedRows = $state(0);
  #view: number | null = null;
  #turn = 0;
  #wanted: RowFilter | null = null;
  #debounce: ReturnType<typeof setTimeout> | undefined;
  #chunks = new Map<number, Row[]>();
  /** Whether what is loaded belongs to the view before. */
  #stale = false;
  #first = 0;
  #last = 0;
  #pulling: Promise<void> | null = null;
  #again = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #pace = new Pace();
  #closed = false;

  constructor(id: ProfileId) {
    this.id = id;
  }

  /** Rows that arrived while paused. */
  get fresh(): number {
    return this.live ? 0 : Math.max(0, this.count.rows - this.#pausedRows);
  }

  /** Number of the selected row. */
  get selected(): number | null {
    return this.selectedRow?.seq ?? null;
  }

  /** A row by its place in the list, when it is loaded. */
  row(index: number): Row | undefined {
    void this.#painted;
    return this.#loaded(index);
  }

  /** Whether all of these rows are loaded. */
  has(first: number, last: number): boolean {
    void this.#painted;
    for (let index = first; index < last; index++) if (!this.#loaded(index)) return false;
    return true;
  }

  /** Shows what a filter lets through; typing rests first. */
  filter(filter: RowFilter): void {
    const before = this.#wanted;
    if (before && JSON.stringify(before) === JSON.stringify(filter)) return;
    this.#wanted = filter;
    clearTimeout(this.#debounce);
    const typed =
      before && (["text", "json", "property"] as const).some((part) => before[part] !== filter[part]);
    if (!typed) void this.#open();
    else this.#debounce = setTimeout(() => void this.#open(), DEBOUNCE_MS);
  }

  /** Something was stored: look again, soon. */
  touch(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#pull();
    }, this.#pace.wait());
  }

  /** The rows on screen: first, and one past the last. */
  show(first: number, last: number): void {
    this.#first = first;
    this.#last = last;
    if (!this.live && this.#missing() !== null) void this.#pull();
  }

  pause(): void {
    if (!this.live) return;
    this.live = false;
    this.pausedAt = Date.now();
    this.#pausedRows = this.rows;
  }

  /** Follows the newest row again. */
  resume(): void {
    this.live = true;
    this.pausedAt = null;
    void this.#pull();
    this.onjump("end");
  }

  toggle(): void {
    if (this.live) this.pause();
    else this.resume();
  }

  /** Selects the row at a place in the list, and pauses. A pointer is on it already: nothing is to move then. */
  async select(index: number, reveal = true): Promise<void> {
    if (this.rows === 0) return;
    this.pause();
    const at = Math.min(Math.max(0, index), this.rows - 1);
    this.selectedIndex = at;
    if (reveal) this.onjump({ index: at, center: false });
    let row = this.#loaded(at);
    if (!row) {
      await this.#fetch(at);
      row = this.#loaded(at);
    }
    if (row && this.selectedIndex === at) this.selectedRow = row;
  }

  /** Selects the first row from a moment on, in microseconds since the Unix epoch. */
  async goTo(micros: number): Promise<void> {
    if (this.#view === null) return;
    const index = await backend.indexAt(this.#view, micros);
    await this.select(index);
  }

  /** Moves the selection; without one, and while following, the newest row on screen is selected. */
  async move(by: number): Promise<void> {
    if (this.selectedIndex !== null && !this.live) return this.select(this.selectedIndex + by);
    return this.select(Math.min(this.#last, this.rows) - 1);
  }

  deselect(): void {
    this.selectedRow = null;
    this.selectedIndex = null;
  }

  /** Shows that a row was pinned, or is no longer. */
  setPinned(seq: number, pinned: boolean): void {
    for (const chunk of this.#chunks.values()) {
      chunk.forEach((row, at) => {
        if (row.seq === seq) chunk[at] = { ...row, pinned };
      });
    }
    if (this.selectedRow?.seq === seq) this.selectedRow = { ...this.selectedRow, pinned };
    this.count = { ...this.count, pinned: Math.max(0, this.count.pinned + (pinned ? 1 : -1)) };
    this.#painted++;
    if (this.#wanted?.pinned) void this.#open();
  }

  /** Starts over, after the stored rows were deleted. */
  async reopen(): Promise<void> {
    this.deselect();
    await this.#open();
  }

  close(): void {
    this.#closed = true;
    this.#turn++;
    clearTimeout(this.#timer);
    clearTimeout(this.#debounce);
    if (this.#view !== null) backend.closeView(this.#view).catch(() => {});
    this.#view = null;
  }

  async #open(): Promise<void> {
    const filter = this.#wanted;
    if (!filter || this.#closed) return;
    const turn = ++this.#turn;
    let opened;
    try {
      opened = await backend.openView(this.id, filter);
    } catch (thrown) {
      if (turn !== this.#turn) return;
      const error = asEngineError(thrown);
      if (error.code === "invalid_input") {
        this.filterProblem = { field: String(error.details.field), message: errorText(error) };
      } else this.problem = errorText(error);
      return;
    }
    if (turn !== this.#turn) {
      backend.closeView(opened.view).catch(() => {});
      return;
    }
    if (this.#view !== null) backend.closeView(this.#view).catch(() => {});
    this.#view = opened.view;
    this.filterProblem = null;
    this.problem = null;
    this.#stale = true;
    this.searching = isUnfinished(opened.count);
    this.#take(opened.count);
    this.#pausedRows = opened.count.rows;
    const index = this.selected === null ? null : await this.#indexOf(this.selected);
    if (turn !== this.#turn) return;
    this.selectedIndex = index;
    if (!this.live) {
      const target = index ?? Math.max(0, opened.count.rows - 1);
      this.#first = Math.max(0, target - 64);
      this.#last = Math.min(opened.count.rows, target + 64);
    }
    await this.#pull();
    if (turn !== this.#turn) return;
    this.ready = true;
    if (this.live) return;
    this.onjump(index === null ? "end" : { index, center: true });
  }

  async #indexOf(seq: number): Promise<number | null> {
    if (this.#view === null) return null;
    return backend.indexOf(this.#view, seq).catch(() => null);
  }

  /** Ends the search for what matches where it is, or goes on with it. */
  async stopSearch(stopped: boolean): Promise<void> {
    if (this.#view === null) return;
    await backend.stopSearch(this.#view, stopped);
    if (!stopped) this.searching = true;
    this.touch();
  }

  /** Asks for what is on screen; a call while one runs makes that one look once more. */
  #pull(): Promise<void> {
    if (this.#pulling) {
      this.#again = true;
      return this.#pulling;
    }
    this.#pulling = this.#pullAll().finally(() => {
      this.#pulling = null;
      if (this.searching && !this.#closed) this.touch();
    });
    return this.#pulling;
  }

  async #pullAll(): Promise<void> {
    do {
      this.#again = false;
      if (this.live) await this.#pullTail();
      else await this.#fetch(this.#missing());
    } while (this.#again && !this.#closed);
  }

  async #pullTail(): Promise<void> {
    const screen = Math.max(1, this.#last - this.#first);
    // A little more than fits, for a list that has just become higher.
    const want = Math.min(LIMIT, Math.max(MARGIN * 2, screen + MARGIN));
    const page = await this.#load((view) => backend.tail(view, want, this.#newest(want)));
    if (!page || !this.live) return;
    const rows = page.start + page.rows.length;
    // What stands there already has not just arrived.
    const screens = this.rows === 0 ? 0 : (rows - this.rows) / screen;
    this.rows = rows;
    this.#painted++;
    this.#pace.painted(screens);
    // Rows that were there may have gone meanwhile.
    if (this.rows > 0 && this.#newest(Math.min(want, this.rows)) === null) this.#again = true;
  }

  /** The number of the newest row, when it and so many before it are loaded: those need not come again. */
  #newest(want: number): number | null {
    if (this.#stale) return null;
    for (let index = Math.max(0, this.rows - want); index < this.rows; index++) {
      if (!this.#loaded(index)) return null;
    }
    return this.#loaded(this.rows - 1)?.seq ?? null;
  }

  /** Loads a row and those around it; without one, asks only how many there are now. */
  async #fetch(index: number | null): Promise<void> {
    const start = index === null ? this.#first : Math.max(0, index - LEAD);
    const page = await this.#load((view) => backend.page(view, start, index === null ? 1 : LIMIT));
    if (!page) return;
    if (!this.live) this.rows = page.count.rows;
    this.#painted++;
    const missing = this.#missing();
    if (missing !== null && missing !== index) this.#again = true;
  }

  /** Loads rows; null when the view changed meanwhile. */
  async #load(ask: (view: number) => Promise<Page>): Promise<Page | null> {
    const view = this.#view;
    if (view === null) return null;
    try {
      const page = await ask(view);
      if (view !== this.#view) return null;
      if (this.#stale) this.#chunks.clear();
      else this.#shift(page.count.origin - this.count.origin, this.count.kept, page.count.kept);
      this.#stale = false;
      this.problem = null;
      this.#take(page.count);
      this.#keep(page);
      return page;
    } catch (thrown) {
      if (view === this.#view) this.problem = errorText(thrown);
      return null;
    }
  }

  /**
   * Counts places anew after rows are gone, or came before all others; what is on screen stays where it is. Rows go
   * from behind the `kept` ones at the beginning: those, and what has become one, are asked for again.
   */
  #shift(by: number, kept: number, keptNow: number): void {
    if (by === 0) return;
    const stay = by > 0 ? kept : 0;
    const moved = (index: number): number | null =>
      index < stay || (by > 0 && index - by < keptNow) ? null : index - by;
    const stands = this.#first < stay;
    if (by > 0 && !stands && this.#last - by <= keptNow) {
      // Nothing that was on screen is left.
      this.#chunks.clear();
      this.#last -= this.#first;
      this.#first = 0;
      this.#pausedRows = 0;
      this.#find();
      this.onshift(Number.MAX_SAFE_INTEGER);
      return;
    }
    const chunks = this.#chunks;
    this.#chunks = new Map();
    for (const [key, chunk] of chunks) {
      chunk.forEach((row, at) => {
        const index = moved(key * CHUNK + at);
        if (index !== null) this.#put(index, row);
      });
    }
    this.#pausedRows = Math.max(0, this.#pausedRows - by);
    if (this.selectedIndex !== null) {
      this.selectedIndex = moved(this.selectedIndex);
      if (this.selectedIndex === null) this.#find();
    }
    if (stands) return;
    this.#first = Math.max(0, this.#first - by);
    this.#last = Math.max(0, this.#last - by);
    this.onshift(by);
  }

  /** Looks up where the selected row stands by now; it may have stayed when others went. */
  #find(): void {
    const { selected } = this;
    this.selectedIndex = null;
    if (selected === null) return;
    void this.#indexOf(selected).then((index) => {
      if (this.selected === selected) this.selectedIndex ??= index;
    });
  }

  #take(count: ViewCount): void {
    this.count = count;
    if (!this.searching) return;
    // What the search finds is not new.
    this.#pausedRows = count.rows;
    this.searching = isUnfinished(count);
  }

  #keep(page: Page): void {
    for (const [at, row] of page.rows.entries()) {
      this.#put(page.start + at, row);
    }
    const middle = Math.floor(page.start / CHUNK);
    const kept = this.live ? KEPT_LIVE : KEPT;
    for (const key of this.#chunks.keys()) if (Math.abs(key - middle) > kept) this.#chunks.delete(key);
  }

  #put(index: number, row: Row): void {
    const key = Math.floor(index / CHUNK);
    let chunk = this.#chunks.get(key);
    if (!chunk) this.#chunks.set(key, (chunk = []));
    chunk[index % CHUNK] = row;
  }

  #loaded(index: number): Row | undefined {
    return this.#chunks.get(Math.floor(index / CHUNK))?.[index % CHUNK];
  }

  /** The first row that is not loaded: on screen, else a screen below or above. */
  #missing(): number | null {
    const [first, last, screen] = [this.#first, this.#last, this.#last - this.#first];
    for (const [from, to] of [
      [first, last],
      [last, last + screen],
      [first - screen, first],
    ] as const) {
      for (let index = Math.max(0, from); index < Math.min(to, this.count.rows); index++) {
        if (this.#stale || !this.#loaded(index)) return index;
      }
    }
    return null;
  }
}

/** Whether rows are still looked at; a view that is full or was stopped looks at no more. */
function isUnfinished({ searched, stored, limited, stopped }: ViewCount): boolean {
  return !limited && !stopped && searched < stored;
}
