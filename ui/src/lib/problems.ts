/** Remarks of the engine on drafts and files, in words. Pure. */
import type { Problem } from "$lib/backend/types/Problem";
import { m } from "$messages";
import { getLocale } from "$runtime";

/**
 * The engine's sentence names the facts, in English; other languages have words for each code, and for the
 * codes that a connection would fail with.
 */
export function problemText({ code, message }: Problem): string {
  if (getLocale() === "en") return message;
  const words = m as unknown as Record<string, (() => string) | undefined>;
  return (words[`problem_${code}`] ?? words[`failure_${code}`])?.() ?? message;
}
