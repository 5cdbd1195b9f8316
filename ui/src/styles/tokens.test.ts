/** Every token that a style names is defined: a browser takes an unknown one for nothing, silently. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";

it("names tokens that are defined", () => {
  const text = readdirSync("src", { recursive: true, encoding: "utf8" })
    .filter((path) => /\.(css|svelte|ts)$/.test(path) && !path.endsWith(".test.ts"))
    .map((path) => readFileSync(`src/${path}`, "utf8"))
    .join("\n");
  const found = text.matchAll(/(?:style:)?(--[a-z0-9-]+)["']?\s*[:=]/g);
  const defined = new Set(Array.from(found, ([, name]) => name));
  // One with something to fall back on is set by a script, or by the library whose prefix it has.
  const named = Array.from(text.matchAll(/var\((--[a-z0-9-]+)\)/g), ([, name]) => name ?? "");
  expect(named.length).toBeGreaterThan(500);
  expect(named.filter((name) => !name.startsWith("--bits-") && !defined.has(name))).toEqual([]);
});
