import { afterEach, expect, test } from "vitest";
import { overwriteGetLocale } from "$runtime";
import {
  bytes,
  count,
  date,
  dateTime,
  duration,
  fingerprint,
  millis,
  plainFingerprint,
  rate,
  relative,
  shortFingerprint,
  span,
  time,
} from "./index";

const speak = (locale: "en" | "zh") => overwriteGetLocale(() => locale);
const local = (...parts: [number, number, number, number, number, number, number]) =>
  new Date(...parts).getTime() * 1000;
const DAY = 86_400_000_000;

afterEach(() => speak("en"));

test("durations keep three digits or fewer and always a unit", () => {
  expect(duration(400)).toBe("0.4 ms");
  expect(duration(87_200)).toBe("87.2 ms");
  expect(duration(999_960)).toBe("1.00 s");
  expect(duration(12_340_000)).toBe("12.3 s");
  expect(duration(125_000_000)).toBe("2 min 5 s");
  expect(duration(7_500_000_000)).toBe("2 h 5 min");
  expect(millis(3_249)).toBe("3.2");
});

test("sizes count in powers of ten", () => {
  expect(bytes(0)).toBe("0 B");
  expect(bytes(999)).toBe("999 B");
  expect(bytes(1_200)).toBe("1.2 kB");
  expect(bytes(999_990)).toBe("1 MB");
  expect(bytes(268_435_456)).toBe("268 MB");
});

test("numbers are grouped and rates are short", () => {
  expect(count(612_340)).toBe("612,340");
  expect(rate(2.54)).toBe("2.5");
  expect(rate(412.4)).toBe("412");
});

test("dates are written day first, in both languages", () => {
  const when = local(2026, 2, 14, 14, 1, 52, 318);
  expect(date(when)).toBe("14 Mar 2026");
  expect(dateTime(when)).toBe("14 Mar 2026, 14:01:52");
  expect(time(when)).toBe("14:01:52.318");
  speak("zh");
  expect(date(when)).toBe("2026年3月14日");
  expect(dateTime(when)).toBe("2026年3月14日 14:01:52");
});

test("midnight is hour zero", () => {
  expect(time(local(2026, 0, 1, 0, 0, 5, 7))).toBe("00:00:05.007");
});

test("relative times name the largest whole unit", () => {
  const now = local(2026, 2, 18, 12, 0, 0, 0);
  expect(relative(now - 4 * DAY, now)).toBe("4 days ago");
  expect(relative(now + 112_000_000, now)).toBe("in 1 minute");
  expect(relative(now - 20_000_000, now)).toBe("now");
  speak("zh");
  expect(relative(now - 4 * DAY, now)).toBe("4天前");
});

test("spans use two units at most", () => {
  expect(span(112 * DAY)).toBe("112 days");
  expect(span((4 * 365.25 + 280) * DAY)).toBe("4 years 9 months");
  expect(span(3_600_000_000)).toBe("1 hour");
  expect(span(5_000_000)).toBe("5 seconds");
});

test("fingerprints are pairs, shortened in the middle, and read back in any spelling", () => {
  const hex = "9c410e7bd258af1366aabbccddeeff00112233445566778899aabbccddeee04d";
  expect(fingerprint("9c410e")).toBe("9C:41:0E");
  expect(shortFingerprint(hex)).toBe("9C:41:0E:7B:D2:58:AF:13:66:…:E0:4D");
  expect(plainFingerprint(`SHA256 Fingerprint=${fingerprint(hex)}`)).toBe(hex);
  expect(plainFingerprint(` ${fingerprint(hex)}\n`)).toBe(hex);
});
