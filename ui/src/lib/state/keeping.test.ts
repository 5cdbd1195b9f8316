import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { keep, keepAll, keepSoon } from "./keeping";

const setValue = vi.hoisted(() => vi.fn(async (_key: string, _value: unknown) => {}));
vi.mock("$lib/backend", () => ({ backend: { setValue } }));

beforeEach(() => {
  vi.useFakeTimers();
  setValue.mockClear();
});
afterEach(() => vi.useRealTimers());

it("writes the last of many changes, once", () => {
  for (const text of ["a", "ab", "abc"]) keepSoon("draft", () => text);
  expect(setValue).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1000);
  expect(setValue.mock.calls).toEqual([["draft", "abc"]]);
});

it("writes everything that waits when the window closes, and nothing twice", async () => {
  keepSoon("one", () => 1);
  keepSoon("two", () => 2);
  await keepAll();
  vi.advanceTimersByTime(1000);
  expect(setValue.mock.calls).toEqual([
    ["one", 1],
    ["two", 2],
  ]);
});

it("lets a value that is written at once replace one that waits", async () => {
  keepSoon("draft", () => "half");
  await keep("draft", null);
  vi.advanceTimersByTime(1000);
  expect(setValue.mock.calls).toEqual([["draft", null]]);
});

it("goes on when something cannot be kept", async () => {
  setValue.mockRejectedValueOnce(new Error("disk full"));
  keepSoon("one", () => 1);
  keepSoon("two", () => 2);
  await keepAll();
  expect(setValue).toHaveBeenCalledTimes(2);
});
