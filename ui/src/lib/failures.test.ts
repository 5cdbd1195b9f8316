import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const read = (path: string) => readFileSync(path, "utf8");
const codes = [...read("src/lib/backend/types/FailureCode.ts").matchAll(/"([a-z0-9_]+)"/g)].map(
  ([, code]) => code,
);

test.each(["en", "zh"])("every failure code has a title in %s", (locale) => {
  const messages = JSON.parse(read(`messages/editor/${locale}.json`)) as Record<string, string>;
  expect(codes.length).toBeGreaterThan(90);
  expect(codes.filter((code) => !messages[`failure_${code}`]?.trim())).toEqual([]);
});
