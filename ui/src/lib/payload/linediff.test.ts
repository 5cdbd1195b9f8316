import { describe, expect, it } from "vitest";
import { diffLines } from "./linediff";

const diff = (a: string, b: string) =>
  diffLines([...a], [...b])
    ?.map(({ side, text }) => (side === "both" ? text : side === "a" ? `-${text}` : `+${text}`))
    .join("");

describe("lines compared", () => {
  it.each([
    ["abc", "abc", "abc"],
    ["abc", "axc", "a-b+xc"],
    ["abc", "ac", "a-bc"],
    ["ac", "abc", "a+bc"],
    ["", "ab", "+a+b"],
    ["ab", "", "-a-b"],
    ["abcabba", "cbabac", "-a-bc-ab+aba+c"],
  ])("%s and %s", (a, b, want) => expect(diff(a, b)).toBe(want));

  it("makes each text out of the result, and numbers its lines", () => {
    const [a, b] = [[..."kitten on the mat"], [..."sitting at the door"]];
    const lines = diffLines(a, b) ?? [];
    expect(lines.filter(({ side }) => side !== "b").map(({ text }) => text)).toEqual(a);
    expect(lines.filter(({ side }) => side !== "a").map(({ text }) => text)).toEqual(b);
    expect(lines.flatMap((line) => line.a ?? [])).toEqual(a.map((_, at) => at + 1));
    expect(lines.flatMap((line) => line.b ?? [])).toEqual(b.map((_, at) => at + 1));
  });

  it("gives up on what would take too long, and not on long texts that are nearly the same", () => {
    const long = Array.from({ length: 50_000 }, (_, n) => String(n));
    expect(
      diffLines(
        long,
        long.map((line) => `${line}!`),
      ),
    ).toBeNull();
    expect(
      diffLines(
        long,
        long.map((line, at) => (at === 25_000 ? "other" : line)),
      )?.length,
    ).toBe(50_001);
  });
});
