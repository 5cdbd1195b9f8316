import { describe, expect, it } from "vitest";
import {
  CAP,
  laidOutHeight,
  maxNative,
  maxOffset,
  revealed,
  scrolled,
  toNative,
  toOffset,
  visibleRows,
} from "./virtual";

const small = { rows: 1_000, rowHeight: 24, viewport: 500 };
const huge = { rows: 20_000_000, rowHeight: 24, viewport: 500 };

describe("the scroll bar", () => {
  it("is the content itself while that is small", () => {
    expect(laidOutHeight(small)).toBe(24_000);
    for (const at of [0, 1, 777, 23_500]) {
      expect(toOffset(at, small)).toBe(at);
      expect(toNative(at, small)).toBe(at);
    }
  });

  it("is never taller than the cap", () => {
    expect(laidOutHeight(huge)).toBe(CAP);
    expect(maxOffset(huge)).toBe(480_000_000 - 500);
    expect(toOffset(0, huge)).toBe(0);
    expect(toOffset(maxNative(huge), huge)).toBe(maxOffset(huge));
  });

  it("maps both ways, rising, without a gap", () => {
    let before = -1;
    for (let at = 0; at <= maxNative(huge); at += maxNative(huge) / 997) {
      const offset = toOffset(at, huge);
      expect(offset).toBeGreaterThan(before);
      expect(toNative(offset, huge)).toBeCloseTo(at, 3);
      before = offset;
    }
  });

  it("is exact near both ends", () => {
    expect(toOffset(240, huge)).toBe(240);
    expect(maxOffset(huge) - toOffset(maxNative(huge) - 240, huge)).toBe(240);
  });
});

describe("scrolling", () => {
  it("moves by wheel pixel for pixel, also in the squeezed middle", () => {
    const middle = 240_000_000;
    const native = toNative(middle, huge);
    expect(scrolled(middle, native, native + 100, huge)).toBe(middle + 100);
    expect(scrolled(middle, native, native - 100, huge)).toBe(middle - 100);
  });

  it("jumps when the thumb is dragged", () => {
    const to = maxNative(huge) / 2;
    expect(scrolled(0, 0, to, huge)).toBe(toOffset(to, huge));
  });

  it("reaches both ends", () => {
    expect(scrolled(90, 60, 0, huge)).toBe(0);
    expect(scrolled(maxOffset(huge) - 90, maxNative(huge) - 60, maxNative(huge), huge)).toBe(maxOffset(huge));
  });

  it("stays when rows arrive below", () => {
    const more = { ...small, rows: 2_000 };
    expect(toOffset(777, more)).toBe(777);
    expect(visibleRows(777, more)).toEqual(visibleRows(777, small));
  });
});

describe("rows", () => {
  it("are those in the viewport", () => {
    expect(visibleRows(0, small)).toEqual([0, 21]);
    expect(visibleRows(30, small)).toEqual([1, 23]);
    expect(visibleRows(23_500, small)).toEqual([979, 1_000]);
    expect(visibleRows(0, { ...small, rows: 3 })).toEqual([0, 3]);
    expect(visibleRows(0, { ...small, rows: 0 })).toEqual([0, 0]);
  });

  it("are revealed by the shortest way", () => {
    expect(revealed(5, 0, small)).toBe(0);
    expect(revealed(30, 0, small)).toBe(31 * 24 - 500);
    expect(revealed(2, 480, small)).toBe(48);
    expect(revealed(999, 0, small)).toBe(23_500);
  });
});
