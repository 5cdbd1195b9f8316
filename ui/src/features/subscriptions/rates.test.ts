import { describe, expect, it } from "vitest";
import { Rates } from "./rates";

describe("rates", () => {
  it("come from the growth of counts over the last samples", () => {
    const rates = new Rates();
    rates.sample(0, new Map([["a/#", 100]]));
    expect(rates.of("a/#")).toBeNull();
    for (let second = 1; second <= 4; second++) {
      rates.sample(second * 1000, new Map([["a/#", 100 + second * 50]]));
    }
    expect(rates.of("a/#")).toBe(50);
    for (let second = 5; second <= 12; second++) rates.sample(second * 1000, new Map([["a/#", 300]]));
    expect(rates.of("a/#")).toBe(0);
  });

  it("start over when a count does, and forget what is gone", () => {
    const rates = new Rates();
    rates.sample(0, new Map([["a", 900]]));
    rates.sample(1000, new Map([["a", 3]]));
    expect(rates.of("a")).toBeNull();
    rates.sample(2000, new Map());
    expect(rates.of("a")).toBeNull();
  });
});
