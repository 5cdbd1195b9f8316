/**
 * A moment as people type it. In: `2026-11-28 03:10:00`, `03:10` (today), `-15 min` (from now). Out: microseconds
 * since the Unix epoch, or null where it is none of these.
 */
const UNITS: Record<string, number> = { s: 1, sec: 1, m: 60, min: 60, h: 3600, d: 86_400 };

export function readMoment(text: string, now: Date): number | null {
  const trimmed = text.trim();
  const back = /^-\s*(\d{1,9}(?:\.\d{1,3})?)\s*([a-z]+)$/i.exec(trimmed);
  if (back) {
    const unit = UNITS[back[2]?.toLowerCase() ?? ""];
    return unit === undefined ? null : Math.round((now.getTime() - Number(back[1]) * unit * 1000) * 1000);
  }
  const point =
    /^(?:(\d{4})-(\d{1,2})-(\d{1,2}))?[ T]*(?:(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?)?$/.exec(
      trimmed,
    );
  if (!point || trimmed === "") return null;
  const [, year, month, day, hour = "0", minute = "0", second = "0", fraction = ""] = point;
  const date =
    year === undefined
      ? new Date(now.getFullYear(), now.getMonth(), now.getDate())
      : new Date(Number(year), Number(month) - 1, Number(day));
  // The 31st of a month that has none would become the next month's first.
  if (year !== undefined && (date.getMonth() !== Number(month) - 1 || date.getDate() !== Number(day))) {
    return null;
  }
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return null;
  date.setHours(Number(hour), Number(minute), Number(second));
  return date.getTime() * 1000 + Number(fraction.padEnd(6, "0"));
}

/** A moment in the form that is read again. */
export function writeMoment(micros: number): string {
  const date = new Date(micros / 1000);
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
