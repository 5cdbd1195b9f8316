/** Remarks on a draft: where they belong in the editor, and their words. Pure. */
import type { Problem } from "$lib/backend/types/Problem";

export const SECTIONS = ["transport", "authentication", "trust", "session", "will", "advanced"] as const;
export type Section = (typeof SECTIONS)[number];

const PREFIXES: [string, Section][] = [
  ["settings.login", "authentication"],
  ["settings.client_certificate", "authentication"],
  ["settings.trust", "trust"],
  ["settings.session", "session"],
  ["settings.will", "will"],
  ["settings.tls", "advanced"],
  ["settings.websocket", "advanced"],
  ["settings.proxy", "advanced"],
  ["settings.timing", "advanced"],
];

/** The section in which a field stands. Subscriptions are edited elsewhere and count for the session. */
export function sectionOf(field: string): Section {
  if (field.startsWith("settings.subscriptions")) return "session";
  return PREFIXES.find(([prefix]) => isWithin(field, prefix))?.[1] ?? "transport";
}

/** Whether `field` is `parent` or a part of it. */
export function isWithin(field: string, parent: string): boolean {
  return field === parent || field.startsWith(`${parent}.`);
}

/** Errors first, in the order of the sections. */
export function inOrder(problems: Problem[]): Problem[] {
  const rank = ({ severity, field }: Problem) =>
    (severity === "error" ? 0 : 10) + SECTIONS.indexOf(sectionOf(field));
  return [...problems].sort((a, b) => rank(a) - rank(b));
}
