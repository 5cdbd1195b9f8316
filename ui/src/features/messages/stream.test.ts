import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Page } from "$lib/backend/types/Page";
import type { Row } from "$lib/backend/types/Row";
import type { RowFilter } from "$lib/backend/types/RowFilter";
import { Stream, type Jump } from "./stream.svelte";

/**
 * Rows first…n; a filter on text keeps the rows whose number contains it. While a search is under way, the newest
 * `searched` rows were looked at.
 */
const store = vi.hoisted(() => ({
  stored: 0,
  first: 1,
  /** Rows before the first one that stay. */
  kept: [] as number[],
  views: new Map<number, (seq: number) => boolean>(),
  next: 1,
  pages: [] as { start: number; limit: number }[],
  opened: [] as string[],
  searched: null as number | null,
  stopped: false,
  limited: false,
}));

vi.mock("$lib/backend", () => {
  const rowsOf = (view: number): number[] => {
    const keep = store.views.get(view);
    if (!keep) throw { code: "not_found", message: "closed", details: {} };
    const seqs = store.kept.filter((seq) => seq < store.first && keep(seq));
    for (let seq = lookedAtFrom(); seq <= store.stored; seq++) if (keep(seq)) seqs.push(seq);
    return seqs;
  };
  const lookedAtFrom = () =>
    store.searched === null ? store.first : Math.max(store.first, store.stored - store.searched + 1);
  const count = (view: number) => {
    const keep = store.views.get(view);
    let origin = 0;
    const kept = store.kept.filter((seq) => seq < store.first && keep?.(seq)).length;
    for (let seq = 1; seq < lookedAtFrom(); seq++) if (keep?.(seq)) origin++;
    origin -= kept;
    return {
      rows: rowsOf(view).length,
      stored: store.stored - store.first + 1,
      searched: store.stored - lookedAtFrom() + 1,
      stopped: store.stopped && store.searched !== null,
      limited: store.limited,
      origin,
      kept,
      pinned: 0,
      damaged: 0,
    };
  };
  const rowOf = (seq: number): Row => ({
    seq,
    time: seq,
    pinned: false,
    kind: "event",
    event: "connected",
    text: "",
    facts: null,
  });
  return {
    asEngineError: (thrown: unknown) => thrown,
    backend: {
      async openView(_: string, filter: RowFilter) {
        if (filter.regex && filter.text === "(") {
          throw { code: "invalid_input", message: "unclosed group", details: { field: "text" } };
        }
        const view = store.next++;
        store.opened.push(filter.text);
        store.views.set(view, (seq) => String(seq).includes(filter.text));
        return { view, count: count(view) };
      },
      async closeView(view: number) {
        store.views.delete(view);
      },
      async stopSearch(_: number, stopped: boolean) {
        store.stopped = stopped;
      },
      async page(view: number, start: number, limit: number): Promise<Page> {
        store.pages.push({ start, limit });
        const rows = rowsOf(view)
          .slice(start, start + limit)
          .map(rowOf);
        return { start, rows, count: count(view) };
      },
      async tail(view: number, limit: number, after: number | null): Promise<Page> {
        const all = rowsOf(view);
        const newer = all.findIndex((seq) => seq > (after ?? 0));
        const start = Math.max(all.length - limit, newer < 0 ? all.length : newer, 0);
        store.pages.push({ start, limit });
        return { start, rows: all.slice(start).map(rowOf), count: count(view) };
      },
      async indexAt(view: number, time: number) {
        return rowsOf(view).filter((seq) => seq < time).length;
      },
      async indexOf(view: number, seq: number) {
        const at = rowsOf(view).indexOf(seq);
        return at < 0 ? null : at;
      },
    },
  };
});

const filter = (text: string, regex = false): RowFilter => ({
  text,
  regex,
  case_sensitive: false,
  topics: [],
  direction: null,
  qos: [],
  retain: null,
  pinned: false,
  live: false,
  since: null,
  until: null,
  min_size: null,
  max_size: null,
  property: "",
  json: "",
});

describe("the stream", () => {
  let stream: Stream;
  let jumps: Jump[];

  beforeEach(() => {
    vi.useFakeTimers();
    store.views.clear();
    store.pages.length = 0;
    store.opened.length = 0;
    store.searched = null;
    store.stopped = false;
    store.limited = false;
    store.first = 1;
    store.kept = [];
    store.stored = 1000;
    stream = new Stream("p");
    jumps = [];
    stream.onjump = (jump) => jumps.push(jump);
  });
  afterEach(() => {
    stream.close();
    vi.useRealTimers();
  });

  const settle = (ms = 0) => vi.advanceTimersByTimeAsync(ms);
  async function opened(): Promise<void> {
    stream.filter(filter(""));
    await settle();
    stream.show(970, 1000);
  }

  it("searches no further once the filter holds all it can", async () => {
    store.searched = 600;
    store.limited = true;
    stream.filter(filter("1"));
    await vi.advanceTimersByTimeAsync(500);
    expect(stream.searching).toBe(false);
    expect(stream.count).toMatchObject({ stored: 1000, searched: 600, limited: true });
  });

  it("leaves rows that stay at their place when what is around them goes", async () => {
    await opened();
    const shifts: number[] = [];
    stream.onshift = (by) => shifts.push(by);
    stream.show(0, 30);
    await stream.select(2);
    store.kept = [3];
    const goes = async (first: number) => {
      store.first = first;
      stream.touch();
      await settle(200);
      stream.show(0, 30);
      await settle(200);
    };
    const shown = () => [0, 1, 2].map((index) => stream.row(index)?.seq);
    await goes(501);
    expect(shown()).toEqual([3, 501, 502]);
    expect([stream.selected, stream.selectedIndex]).toEqual([3, 0]);
    shifts.length = 0;
    // Seen from the beginning nothing moves: rows go from behind the one that stays.
    await goes(601);
    expect(shown()).toEqual([3, 601, 602]);
    expect([stream.selectedIndex, shifts]).toEqual([0, []]);
    // Seen from further down, the list counts anew and stays where it is.
    await stream.select(100);
    stream.show(90, 120);
    await settle(200);
    const before = stream.row(100)?.seq;
    store.first = 651;
    stream.touch();
    await settle(200);
    expect([stream.selectedIndex, stream.row(50)?.seq, shifts]).toEqual([50, before, [50]]);
  });

  it("shows what is pinned, and asks again when only that is shown", async () => {
    await opened();
    await stream.select(10);
    stream.setPinned(11, true);
    expect([stream.row(10)?.pinned, stream.selectedRow?.pinned]).toEqual([true, true]);
    const before = store.opened.length;
    stream.filter({ ...filter(""), pinned: true });
    await settle();
    stream.setPinned(11, false);
    await settle();
    expect(store.opened.length).toBe(before + 2);
  });

  it("starts at the newest row and follows it", async () => {
    await opened();
    expect(stream.live).toBe(true);
    expect(stream.rows).toBe(1000);
    expect(stream.row(999)?.seq).toBe(1000);
    store.stored = 1010;
    stream.touch();
    await settle(100);
    expect(stream.rows).toBe(1010);
    expect(stream.row(1009)?.seq).toBe(1010);
  });

  it("asks for what is new alone while it follows, and for a whole screen when rows are gone", async () => {
    await opened();
    stream.touch();
    await settle(100);
    const [oldest, newest] = [stream.row(980), stream.row(999)];
    store.pages.length = 0;
    store.stored = 1003;
    stream.touch();
    await settle(100);
    expect(store.pages).toEqual([{ start: 1000, limit: 46 }]);
    // The same rows, not others like them: nothing is drawn anew.
    expect([stream.row(980) === oldest, stream.row(999) === newest]).toEqual([true, true]);
    expect([stream.rows, stream.row(1002)?.seq]).toEqual([1003, 1003]);
    // All that was on screen has gone, and a few have come.
    store.first = 1001;
    store.stored = 1010;
    stream.touch();
    await settle(100);
    expect(stream.rows).toBe(10);
    expect([0, 9].map((index) => stream.row(index)?.seq)).toEqual([1001, 1010]);
    store.first = 1011;
    stream.touch();
    await settle(100);
    expect([stream.rows, stream.row(0)]).toEqual([0, undefined]);
    store.stored = 1012;
    stream.touch();
    await settle(100);
    expect([stream.rows, stream.row(0)?.seq]).toEqual([2, 1011]);
  });

  it("looks at once, and again at most once a frame, however often something arrives", async () => {
    await opened();
    await settle(20);
    store.pages.length = 0;
    store.stored++;
    stream.touch();
    await settle(1);
    expect(store.pages.length).toBe(1);
    for (let ms = 0; ms < 1000; ms += 5) {
      store.stored++;
      stream.touch();
      await settle(5);
    }
    expect(store.pages.length).toBeLessThanOrEqual(64);
    expect(store.pages.length).toBeGreaterThan(40);
  });

  it("has the newest rows also when more arrived than a page holds", async () => {
    await opened();
    store.stored = 50_000;
    stream.touch();
    await settle(100);
    expect(stream.rows).toBe(50_000);
    expect(stream.row(49_999)?.seq).toBe(50_000);
  });

  it("stands still while paused and counts what arrives", async () => {
    await opened();
    stream.pause();
    expect(stream.pausedAt).not.toBeNull();
    expect(stream.fresh).toBe(0);
    const shown = stream.row(980);
    store.stored = 1284;
    stream.touch();
    await settle(100);
    expect(stream.fresh).toBe(284);
    expect(stream.row(980)).toEqual(shown);
    expect(jumps).toEqual([]);
  });

  it("returns to the newest row on resume", async () => {
    await opened();
    stream.pause();
    store.stored = 1100;
    stream.resume();
    await settle();
    expect(stream.live).toBe(true);
    expect(stream.fresh).toBe(0);
    expect(stream.rows).toBe(1100);
    expect(jumps.at(-1)).toBe("end");
    stream.toggle();
    expect(stream.live).toBe(false);
  });

  it("pauses when a row is selected, and a pointer moves nothing", async () => {
    await opened();
    await stream.select(990, false);
    expect(stream.live).toBe(false);
    expect(stream.selected).toBe(991);
    expect(jumps).toEqual([]);
    await stream.move(-1);
    expect(stream.selected).toBe(990);
    expect(jumps).toEqual([{ index: 989, center: false }]);
  });

  it("selects rows that are not loaded yet, and stops at both ends", async () => {
    await opened();
    await stream.select(0);
    expect(stream.selected).toBe(1);
    await stream.move(-5);
    expect(stream.selected).toBe(1);
    await stream.move(100_000);
    expect(stream.selected).toBe(1000);
  });

  it("starts with the newest row on screen when nothing is selected", async () => {
    await opened();
    await stream.move(-1);
    expect(stream.selected).toBe(1000);
  });

  it("goes to a moment", async () => {
    await opened();
    await stream.goTo(321);
    expect(stream.live).toBe(false);
    expect(stream.selected).toBe(321);
    await stream.goTo(1_000_000);
    expect(stream.selected).toBe(1000);
  });

  it("keeps the selection over a change of the filter", async () => {
    await opened();
    await stream.select(776);
    expect(stream.selected).toBe(777);
    stream.filter(filter("77"));
    await settle(120);
    expect(stream.selected).toBe(777);
    expect(stream.selectedIndex).toBe(
      [...Array(1000).keys()]
        .map((n) => n + 1)
        .filter((n) => `${n}`.includes("77"))
        .indexOf(777),
    );
    expect(jumps.at(-1)).toEqual({ index: stream.selectedIndex, center: true });
    stream.filter(filter("5"));
    await settle(120);
    expect(stream.selectedIndex).toBeNull();
    expect(stream.selected).toBe(777);
    stream.filter(filter(""));
    await settle(120);
    expect(stream.selectedIndex).toBe(776);
  });

  it("filters when typing rests", async () => {
    await opened();
    for (const text of ["1", "12", "123"]) {
      stream.filter(filter(text));
      await settle(60);
    }
    expect(store.opened).toEqual([""]);
    await settle(120);
    expect(store.opened).toEqual(["", "123"]);
    expect(stream.rows).toBe(1);
    expect(store.views.size).toBe(1);
  });

  it("keeps the last result while a regular expression is not valid", async () => {
    await opened();
    stream.filter(filter("99"));
    await settle(120);
    const rows = stream.rows;
    stream.filter(filter("(", true));
    await settle(120);
    expect(stream.filterProblem).toEqual({ field: "text", message: "unclosed group" });
    expect(stream.rows).toBe(rows);
    stream.filter(filter("9"));
    await settle(120);
    expect(stream.filterProblem).toBeNull();
  });

  it("asks no more while a search is stopped, and goes on with it", async () => {
    store.searched = 100;
    await opened();
    await stream.stopSearch(true);
    await settle(100);
    expect([stream.searching, stream.count.stopped]).toEqual([false, true]);
    const asked = store.pages.length;
    await settle(1000);
    expect(store.pages.length).toBe(asked);
    await stream.stopSearch(false);
    store.searched = null;
    await settle(200);
    expect([stream.searching, stream.count.stopped]).toEqual([false, false]);
    expect(stream.count.searched).toBe(store.stored);
  });

  it("goes on looking while the engine searches, and does not call what it finds new", async () => {
    store.searched = 100;
    await opened();
    expect(stream.searching).toBe(true);
    stream.pause();
    store.searched = 600;
    await settle(100);
    expect(stream.count.searched).toBe(600);
    expect(stream.fresh).toBe(0);
    store.searched = null;
    await settle(200);
    expect(stream.searching).toBe(false);
    const asked = store.pages.length;
    await settle(1000);
    expect(store.pages.length).toBe(asked);
  });

  it("loads what is scrolled to and forgets what is far away", async () => {
    store.stored = 100_000;
    stream.filter(filter(""));
    await settle();
    stream.show(99_970, 100_000);
    stream.pause();
    stream.show(50_000, 50_030);
    await settle();
    expect(stream.row(50_000)?.seq).toBe(50_001);
    expect(stream.row(50_029)?.seq).toBe(50_030);
    expect(stream.row(99_999)).toBeUndefined();
  });

  it("keeps its place when the oldest rows are deleted", async () => {
    const shifts: number[] = [];
    stream.onshift = (by) => shifts.push(by);
    await opened();
    await stream.select(990, false);
    const shown = stream.row(980);
    store.first = 301;
    store.stored = 1300;
    stream.touch();
    await settle(100);
    expect(shifts).toEqual([300]);
    expect(stream.rows).toBe(1000);
    expect(stream.row(680)).toEqual(shown);
    expect(stream.selected).toBe(991);
    expect(stream.selectedIndex).toBe(690);
    expect(stream.fresh).toBe(300);
  });

  it("follows the newest row also when the oldest are deleted", async () => {
    await opened();
    store.first = 501;
    store.stored = 1400;
    stream.touch();
    await settle(100);
    expect(stream.rows).toBe(900);
    expect(stream.row(899)?.seq).toBe(1400);
    expect(stream.row(0)?.seq ?? 501).toBe(501);
  });

  it("starts anew when every row on screen was deleted", async () => {
    await opened();
    stream.pause();
    store.first = 5001;
    store.stored = 6000;
    stream.touch();
    await settle(200);
    expect(stream.rows).toBe(1000);
    expect(stream.row(0)?.seq).toBe(5001);
    expect(stream.row(29)?.seq).toBe(5030);
  });

  it("keeps its place when a search finds older rows", async () => {
    const shifts: number[] = [];
    stream.onshift = (by) => shifts.push(by);
    store.searched = 200;
    await opened();
    expect(stream.rows).toBe(200);
    stream.show(170, 200);
    await stream.select(190, false);
    const shown = stream.row(180);
    store.searched = 500;
    await settle(100);
    expect(shifts).toEqual([-300]);
    expect(stream.rows).toBe(500);
    expect(stream.row(480)).toEqual(shown);
    expect(stream.selectedIndex).toBe(490);
    expect(stream.selected).toBe(991);
    expect(stream.fresh).toBe(0);
  });

  it("is empty after the stored rows were deleted", async () => {
    await opened();
    await stream.select(10);
    store.stored = 0;
    await stream.reopen();
    await settle();
    expect(stream.rows).toBe(0);
    expect(stream.selected).toBeNull();
  });
});
