/** Limits of what is kept that become tighter. In: the limits of before and after. Out: whether to go on, the person asked. */
import { confirm } from "$components/confirm.svelte";
import { backend } from "$lib/backend";
import type { Keeping } from "$lib/backend/types/Keeping";
import type { ProfileId } from "$lib/backend/types/ProfileId";
import type { Retention } from "$lib/backend/types/Retention";
import { engine } from "$lib/state/engine.svelte";
import { m } from "$messages";

/** What may be beyond a limit: the most rows that a connection has, and the bytes that all take. */
interface Stored {
  rows: number;
  bytes: number;
}

const isLower = (before: number | null, after: number | null) =>
  after !== null && (before === null || after < before);

/** Whether rows may go that are there now. */
export function letsGo(before: Retention, after: Retention, { rows, bytes }: Stored): boolean {
  return (
    rows > 0 &&
    ((isLower(before.max_rows, after.max_rows) && rows > (after.max_rows ?? rows)) ||
      (isLower(before.max_bytes, after.max_bytes) && bytes > (after.max_bytes ?? bytes)) ||
      isLower(before.max_age_s, after.max_age_s))
  );
}

/** Asks before the limits of all connections let go of what is stored. */
export async function agreesToKeep(before: Keeping, after: Keeping): Promise<boolean> {
  await engine.knowAll();
  const rows = [...engine.connections.values()].map(({ counters }) => counters.stored);
  const stored = { rows: Math.max(0, ...rows), bytes: (await backend.appInfo()).history_bytes };
  const inAll = (max_bytes: number | null) => ({ max_bytes, max_rows: null, max_age_s: null });
  const goes =
    letsGo(before.each, after.each, stored) ||
    letsGo(inAll(before.max_bytes_in_all), inAll(after.max_bytes_in_all), stored);
  return !goes || ask();
}

/** The same for the limits of one, which may have none of its own. */
export async function agreesToLimits(id: ProfileId, wanted: Retention | null): Promise<boolean> {
  // Who saves what somebody else has deleted loses nothing by it.
  const saved = await backend.profile(id).catch(() => null);
  if (!saved) return true;
  const { retention } = saved.settings;
  if (JSON.stringify(retention) === JSON.stringify(wanted)) return true;
  const [{ each }, { history_bytes: bytes }] = await Promise.all([
    backend.keeping(),
    backend.appInfo(),
    engine.know(id),
  ]);
  const rows = engine.connections.get(id)?.counters.stored ?? 0;
  return !letsGo(retention ?? each, wanted ?? each, { rows, bytes }) || ask();
}

function ask(): Promise<boolean> {
  return confirm({
    title: m.keep_less_title(),
    text: m.keep_less_text(),
    action: m.keep_apply(),
    danger: true,
  });
}
