/** The texts of the window: each has one home, and both languages have the same. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";

const areas = readdirSync("messages");

function keys(area: string, language: string): string[] {
  const texts = JSON.parse(readFileSync(`messages/${area}/${language}.json`, "utf8")) as object;
  return Object.keys(texts).filter((key) => key !== "$schema");
}

it("has no key in two areas: one text would silently take the place of the other", () => {
  const all = areas.flatMap((area) => keys(area, "en"));
  expect(all.length).toBeGreaterThan(1000);
  expect(all.filter((key, at) => all.indexOf(key) !== at)).toEqual([]);
});

it.each(areas)("has the same keys of %s in both languages", (area) => {
  expect(keys(area, "zh").sort()).toEqual(keys(area, "en").sort());
});
