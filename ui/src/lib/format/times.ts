/** Instants (Unix microseconds, as the engine counts them), durations (microseconds) and spans. */
import { dateFormat, intlLocale, numberFormat } from "./locale";

const MICROS = 1000;
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Now, as the engine counts. */
export function nowMicros(): number {
  return Date.now() * MICROS;
}

/** How long something took: `0.4 ms`, `87.2 ms`, `1.24 s`, `2 min 5 s`. */
export function duration(micros: number): string {
  const ms = micros / 1000;
  if (ms < 999.95) return `${fixed(ms, 1)} ms`;
  const seconds = ms / 1000;
  if (seconds < 59.995) return `${fixed(seconds, seconds < 9.995 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  if (whole < HOUR) return `${Math.floor(whole / MINUTE)} min ${whole % MINUTE} s`;
  return `${Math.floor(whole / HOUR)} h ${Math.floor((whole % HOUR) / MINUTE)} min`;
}

/** Milliseconds with one digit and no unit, for columns. */
export function millis(micros: number): string {
  return fixed(micros / 1000, 1);
}

/** `14 Mar 2026` */
export function date(micros: number): string {
  return dateFormat({ day: "numeric", month: "short", year: "numeric" }).format(micros / MICROS);
}

/** `14 Mar 2026, 14:01:52` */
export function dateTime(micros: number): string {
  return `${date(micros)}${intlLocale() === "zh-CN" ? " " : ", "}${clock(micros)}`;
}

/** `14:01:52` */
export function clock(micros: number): string {
  return dateFormat({ hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }).format(
    micros / MICROS,
  );
}

/** Local time of day with milliseconds: `14:01:52.318` */
export function time(micros: number): string {
  const ms = Math.floor(micros / MICROS) % 1000;
  return `${clock(micros)}.${String((ms + 1000) % 1000).padStart(3, "0")}`;
}

/** How far from now: `4 days ago`, `in 2 minutes`, `now`. */
export function relative(micros: number, now: number = nowMicros()): string {
  const seconds = (micros - now) / 1_000_000;
  const [unit, size] = unitOf(Math.abs(seconds));
  const words = new Intl.RelativeTimeFormat(intlLocale(), { numeric: unit === "second" ? "auto" : "always" });
  return words.format(unit === "second" ? 0 : Math.trunc(seconds / size), unit);
}

/** How long a stretch of time is, in its two largest units: `4 years 9 months`, `112 days`, `1 hour`. */
export function span(micros: number): string {
  const seconds = Math.max(0, Math.round(micros / 1_000_000));
  const days = Math.floor(seconds / DAY);
  if (days >= 730) {
    const months = Math.floor(days / 30.4375);
    return parts([Math.floor(months / 12), "year"], [months % 12, "month"]);
  }
  if (days >= 2) return parts([days, "day"]);
  if (seconds >= HOUR)
    return parts([Math.floor(seconds / HOUR), "hour"], [Math.floor((seconds % HOUR) / MINUTE), "minute"]);
  if (seconds >= MINUTE) return parts([Math.floor(seconds / MINUTE), "minute"], [seconds % MINUTE, "second"]);
  return parts([seconds, "second"]);
}

function parts(...amounts: [number, string][]): string {
  return amounts
    .filter(([amount], index) => index === 0 || amount > 0)
    .map(([amount, unit]) => numberFormat({ style: "unit", unit, unitDisplay: "long" }).format(amount))
    .join(" ");
}

function unitOf(seconds: number): [Intl.RelativeTimeFormatUnit, number] {
  if (seconds < MINUTE) return ["second", 1];
  if (seconds < HOUR) return ["minute", MINUTE];
  if (seconds < DAY) return ["hour", HOUR];
  if (seconds < 60 * DAY) return ["day", DAY];
  if (seconds < 730 * DAY) return ["month", 30.4375 * DAY];
  return ["year", 365.25 * DAY];
}

function fixed(value: number, digits: number): string {
  return numberFormat({ minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}
