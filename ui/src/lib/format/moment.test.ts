import { describe, expect, it } from "vitest";
import { readMoment, writeMoment } from "./moment";

const now = new Date(2026, 10, 28, 12, 0, 0);
const at = (...parts: [number, number, number, number?, number?, number?, number?]) =>
  new Date(
    parts[0],
    parts[1] - 1,
    ...(parts.slice(2) as [number, number?, number?, number?, number?]),
  ).getTime() * 1000;

describe("a typed moment", () => {
  it("is a date, a time of today, or a way back from now", () => {
    expect(readMoment("2026-11-27", now)).toBe(at(2026, 11, 27));
    expect(readMoment("2026-11-27 03:10", now)).toBe(at(2026, 11, 27, 3, 10));
    expect(readMoment("2026-11-27T03:10:05.25", now)).toBe(at(2026, 11, 27, 3, 10, 5, 250));
    expect(readMoment(" 03:10:09 ", now)).toBe(at(2026, 11, 28, 3, 10, 9));
    expect(readMoment("-15 min", now)).toBe(at(2026, 11, 28, 11, 45));
    expect(readMoment("-1.5h", now)).toBe(at(2026, 11, 28, 10, 30));
    expect(readMoment("-2d", now)).toBe(at(2026, 11, 26, 12));
  });

  it("is nothing else", () => {
    for (const text of [
      "",
      "soon",
      "24:00",
      "10:60",
      "2026-02-30",
      "2026-13-01",
      "-5",
      "-5 weeks",
      "5 min",
    ]) {
      expect(readMoment(text, now), text).toBeNull();
    }
  });

  it("is read as it was written", () => {
    const moment = at(2026, 3, 4, 5, 6, 7);
    expect(readMoment(writeMoment(moment), now)).toBe(moment);
  });
});
