import { expect, it } from "vitest";
import { fileStem, secondsUntil, shortSpan } from "./words";

it("shortens spans to their two largest units", () => {
  const seconds = (value: number) => shortSpan(value * 1_000_000);
  expect([12, 59.9, 840, 8_040, 266_400].map(seconds)).toEqual([
    "12 s",
    "59 s",
    "14 min",
    "2 h 14 min",
    "3 d 2 h",
  ]);
  expect(seconds(-5)).toBe("0 s");
});

it("counts down and stops at nothing", () => {
  expect(secondsUntil(4_200_000, 0)).toBe(5);
  expect(secondsUntil(0, 9_000_000)).toBe(0);
});

it("names a file", () => {
  expect(fileStem("/home/ana/line3-gw.pem")).toBe("line3-gw");
  expect(fileStem("C:\\certs\\edge.crt")).toBe("edge");
});
