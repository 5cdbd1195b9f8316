/** What can be done to a saved connection, from wherever in the window. In: ids. Out: commands, and toasts with *Undo*. */
import { asEngineError, backend, type EngineError } from "$lib/backend";
import type { Folder } from "$lib/backend/types/Folder";
import type { Phase } from "$lib/backend/types/Phase";
import type { ProfileEntry } from "$lib/backend/types/ProfileEntry";
import type { ProfileId } from "$lib/backend/types/ProfileId";
import type { SecretField } from "$lib/backend/types/SecretField";
import { stageName } from "$lib/failures";
import { attempt } from "$lib/report";
import { fieldsOf } from "$lib/secrets";
import { endpointDrafts } from "$lib/state/endpointdrafts.svelte";
import { engine } from "$lib/state/engine.svelte";
import { navigation } from "$lib/state/navigation.svelte";
import { secretPrompts } from "$lib/state/secretprompt.svelte";
import { toasts } from "$lib/state/toasts.svelte";
import { vault } from "$lib/state/vault.svelte";
import { m } from "$messages";

export type DotState = "on" | "off" | "busy" | "wait" | "fail";

export function phaseOf(id: ProfileId | null): Phase {
  return (id && engine.connections.get(id)?.phase) || { phase: "idle" };
}

export function dotOf(phase: Phase): DotState {
  switch (phase.phase) {
    case "connected":
      return "on";
    case "connecting":
      return phase.attempt > 1 ? "wait" : "busy";
    case "disconnecting":
      return "busy";
    case "waiting":
      return "wait";
    case "failed":
      return "fail";
    case "idle":
      return "off";
  }
}

/** The state in one or two words, without times. */
export function phaseWord(phase: Phase): string {
  switch (phase.phase) {
    case "connected":
      return m.phase_connected();
    case "connecting":
      return phase.attempt > 1 ? m.phase_reconnecting() : m.phase_connecting();
    case "disconnecting":
      return m.phase_disconnecting();
    case "waiting":
      return m.phase_reconnecting();
    case "failed":
      return m.phase_failed_at({ stage: stageName(phase.failure.stage) });
    case "idle":
      return m.phase_idle();
  }
}

/** Whether *Connect* is what the main action offers. */
export function isAtRest(phase: Phase): boolean {
  return phase.phase === "idle" || phase.phase === "failed";
}

/** Saves what was changed in the endpoint bar, then connects. */
export async function connect(id: ProfileId): Promise<void> {
  await attempt(endpointDrafts.save(id).then(() => start(id)));
}

/** Connects; a vault that is locked is opened and secrets that are not there are asked for first. */
async function start(id: ProfileId): Promise<void> {
  try {
    await backend.connect(id);
  } catch (thrown) {
    const { code, details } = asEngineError(thrown);
    const fields = fieldsOf(details);
    if ((code !== "secret_needed" && code !== "vault_locked") || fields.length === 0) throw thrown;
    // A key that was imported cannot be typed.
    const key = fields.some(({ kind }) => kind === "private_key");
    const opened = code === "vault_locked" && (await vault.ask({ id, typed: !key, key }));
    if (opened === "cancelled") return;
    if (opened === "open" || (await secretPrompts.ask({ id, fields, why: "missing" }))) await start(id);
  }
}

/** Runs what needs the secrets of a connection, or of all (`null`); a vault that is locked is opened first. */
export async function withVault<T>(id: ProfileId | null, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (thrown) {
    const { code, details } = asEngineError(thrown);
    if (code !== "vault_locked") throw thrown;
    const key = fieldsOf(details).some(({ kind }) => kind === "private_key");
    if ((await vault.ask({ id, typed: false, key })) === "open") return withVault(id, run);
    throw { code: "cancelled", message: "", details: {} } satisfies EngineError;
  }
}

/** Asks for secrets that were refused, then connects with what was typed. */
export async function retype(id: ProfileId, fields: SecretField[]): Promise<void> {
  if (await secretPrompts.ask({ id, fields, why: "refused" })) await reconnect(id);
}

/** Ends a connection, an attempt, or the wait for the next one. */
export async function disconnect(id: ProfileId): Promise<void> {
  await attempt(phaseOf(id).phase === "waiting" ? backend.stopRetrying(id) : backend.disconnect(id));
}

/** Connects with what is saved now; a connection or an attempt that stands ends first. */
export async function reconnect(id: ProfileId): Promise<void> {
  await attempt(
    (async () => {
      await endpointDrafts.save(id);
      if (!isAtRest(phaseOf(id))) await backend.disconnect(id);
      await start(id);
    })(),
  );
}

export async function toggle(id: ProfileId): Promise<void> {
  await (isAtRest(phaseOf(id)) ? connect(id) : disconnect(id));
}

export async function duplicate(id: ProfileId): Promise<void> {
  const copy = await attempt(withVault(id, () => backend.duplicateProfile(id)));
  if (copy) navigation.select(copy.id);
}

/** Deletes at once and offers *Undo*; a neighbour is selected instead. */
export async function remove(entry: Pick<ProfileEntry, "id" | "name">): Promise<void> {
  const ids = engine.tree.profiles.map(({ id }) => id);
  const at = ids.indexOf(entry.id);
  const neighbour = ids[at + 1] ?? ids[at - 1] ?? null;
  const deleted = await attempt(backend.deleteProfile(entry.id).then(() => true));
  if (!deleted) return;
  const wasSelected = navigation.selected === entry.id;
  if (wasSelected) navigation.select(neighbour);
  toasts.show({
    tone: "info",
    text: () => m.connection_deleted({ name: entry.name }),
    action: {
      label: () => m.action_undo(),
      run: () => {
        void attempt(backend.restoreProfile(entry.id)).then(() => wasSelected && navigation.select(entry.id));
      },
    },
  });
}

export async function removeFolder(folder: Folder): Promise<void> {
  const deleted = await attempt(backend.deleteFolder(folder.id).then(() => true));
  if (!deleted) return;
  toasts.show({
    tone: "info",
    text: () => m.folder_deleted({ name: folder.name }),
    action: { label: () => m.action_undo(), run: () => void attempt(backend.restoreFolder(folder.id)) },
  });
}
