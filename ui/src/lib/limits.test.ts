import { expect, test } from "vitest";
import { letsGo } from "./limits";

const none = { max_rows: null, max_bytes: null, max_age_s: null };
const stored = { rows: 1000, bytes: 50_000 };

test("only a tighter limit that something is beyond lets messages go", () => {
  expect(letsGo(none, none, stored)).toBe(false);
  expect(letsGo(none, { ...none, max_rows: 999 }, stored)).toBe(true);
  expect(letsGo(none, { ...none, max_rows: 1000 }, stored)).toBe(false);
  expect(letsGo({ ...none, max_rows: 10 }, { ...none, max_rows: 20 }, stored)).toBe(false);
  expect(letsGo({ ...none, max_rows: 10 }, none, stored)).toBe(false);
  expect(letsGo(none, { ...none, max_bytes: 49_999 }, stored)).toBe(true);
  expect(letsGo(none, { ...none, max_bytes: 50_000 }, stored)).toBe(false);
  expect(letsGo(none, { ...none, max_age_s: 86_400 }, stored)).toBe(true);
  expect(letsGo({ ...none, max_age_s: 86_400 }, { ...none, max_age_s: 172_800 }, stored)).toBe(false);
  expect(letsGo(none, { max_rows: 1, max_bytes: 1, max_age_s: 1 }, { rows: 0, bytes: 50_000 })).toBe(false);
});
