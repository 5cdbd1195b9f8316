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

/** Whether a limit becomes tighter than what there is of it. */
const bites = (before: number | null, after: number | null, there: number) =>
  after !== null && (before === null || after < before) && there > after;

/** Whether rows may go that are there now. How old the oldest is, is not known here. */
export function letsGo(before: Retention, after: Retention, { rows, bytes }: Stored): boolean {
  return (
    bites(before.max_rows, after.max_rows, rows) ||
    (rows > 0 &&
      (bites(before.max_bytes, after.max_bytes, bytes) || bites(before.max_age_s, after.max_age_s, Infinity)))
  );
}

/** Asks before the limits of all connections let go of what is stored. */
export async function agreesToKeep(before: Keeping, after: Keeping): Promise<boolean> {
  const [{ history_bytes: bytes }] = await Promise.all([backend.appInfo(), engine.knowAll()]);
  const rows = Math.max(0, ...[...engine.connections.values()].map(({ counters }) => counters.stored));
  const goes =
    letsGo(before.each, after.each, { rows, bytes }) ||
    (rows > 0 && bites(before.max_bytes_in_all, after.max_bytes_in_all, bytes));
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
