import { describe, expect, it } from "vitest";
import { Pace } from "./pace";

describe("the pace of painting", () => {
  it("does not wait before the first, and a frame before the next", () => {
    const pace = new Pace();
    expect(pace.wait(0)).toBe(0);
    pace.painted(1, 1000);
    expect(pace.wait(1000)).toBe(16);
    expect(pace.wait(1010)).toBe(6);
    expect(pace.wait(1100)).toBe(0);
  });

  it("slows down while frames come late, but never stops, and finds back", () => {
    const pace = new Pace();
    for (let n = 0; n < 20; n++) pace.took(60);
    pace.painted(1, 1000);
    expect(pace.wait(1000)).toBe(96);
    for (let n = 0; n < 40; n++) pace.took(17);
    expect(pace.wait(1000)).toBe(16);
  });

  it("hurries less while more arrives than anybody can read", () => {
    const pace = new Pace();
    pace.painted(50, 1000);
    expect(pace.wait(1000)).toBe(48);
    pace.painted(2, 2000);
    expect(pace.wait(2000)).toBe(16);
  });
});
