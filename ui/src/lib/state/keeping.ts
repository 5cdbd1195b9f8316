/**
 * Writes what changes often a moment after it changed, and all of it before the window closes. In: values by key.
 * Out: the engine's store, from which they are read again in the next run.
 */
import { backend } from "$lib/backend";

const SOON_MS = 400;

interface Waiting {
  value: () => unknown;
  timer: ReturnType<typeof setTimeout>;
}
const waiting = new Map<string, Waiting>();

/** Writes what `value` gives in a moment; asked again meanwhile, only the later one is written. */
export function keepSoon(key: string, value: () => unknown): void {
  clearTimeout(waiting.get(key)?.timer);
  waiting.set(key, { value, timer: setTimeout(() => void write(key), SOON_MS) });
}

/** Writes a value now; nothing older is written after it. */
export async function keep(key: string, value: unknown): Promise<void> {
  clearTimeout(waiting.get(key)?.timer);
  waiting.delete(key);
  await backend.setValue(key, value);
}

/** Writes everything that waits. */
export async function keepAll(): Promise<void> {
  await Promise.all([...waiting.keys()].map(write));
}

async function write(key: string): Promise<void> {
  const entry = waiting.get(key);
  if (!entry) return;
  // What cannot be kept is still on the screen: there is nothing a person could do about it here.
  await keep(key, entry.value()).catch(() => {});
}
