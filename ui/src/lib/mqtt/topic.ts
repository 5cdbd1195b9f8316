/**
 * Topic names and filters (MQTT 5, 4.7), by the engine's rules. In: text. Out: validity, matches and parts to
 * show. Pure.
 */
export type TopicProblem =
  "empty" | "null" | "too_long" | "wildcard" | "multi_level" | "single_level" | "share";

/** What is wrong with a topic to publish to. */
export function nameProblem(topic: string): TopicProblem | null {
  return textProblem(topic) ?? (/[+#]/.test(topic) ? "wildcard" : null);
}

/** What is wrong with a filter to subscribe to, shared ones included. */
export function filterProblem(filter: string): TopicProblem | null {
  const problem = textProblem(filter);
  if (problem) return problem;
  let inner = filter;
  if (filter.startsWith("$share/")) {
    const rest = filter.slice("$share/".length);
    const slash = rest.indexOf("/");
    const name = rest.slice(0, slash);
    inner = rest.slice(slash + 1);
    if (slash < 1 || /[+#]/.test(name) || inner === "") return "share";
  }
  const levels = inner.split("/");
  for (const [at, level] of levels.entries()) {
    if (level.includes("#") && (level !== "#" || at < levels.length - 1)) return "multi_level";
    if (level.includes("+") && level !== "+") return "single_level";
  }
  return null;
}

function textProblem(text: string): TopicProblem | null {
  if (text === "") return "empty";
  if (text.includes("\0")) return "null";
  if (new TextEncoder().encode(text).length > 65_535) return "too_long";
  return null;
}

/** Whether a topic name matches a filter; `$share/NAME/` is looked through. */
export function matches(filter: string, topic: string): boolean {
  const inner = unshared(filter);
  if (topic.startsWith("$") && /^[+#]/.test(inner)) return false;
  const names = topic.split("/");
  const levels = inner.split("/");
  for (const [at, level] of levels.entries()) {
    if (level === "#") return true;
    const name = names[at];
    if (name === undefined || (level !== "+" && level !== name)) return false;
  }
  return names.length === levels.length;
}

/**
 * The place of the filter that says most about a topic, or −1 when none matches: one without `#` before one
 * with it, then the one with more levels spelled out, then the earlier one.
 */
export function narrowest(filters: readonly string[], topic: string): number {
  let best = -1;
  let score = -1;
  for (const [at, filter] of filters.entries()) {
    if (!matches(filter, topic)) continue;
    const levels = unshared(filter).split("/");
    const spelled = levels.filter((level) => level !== "+" && level !== "#").length;
    const found = spelled + (levels.at(-1) === "#" ? 0 : 100_000);
    if (found > score) [best, score] = [at, found];
  }
  return best;
}

/** The filter as the broker matches it, without `$share/NAME/`. */
export function unshared(filter: string): string {
  const rest = filter.startsWith("$share/") ? filter.slice("$share/".length) : null;
  const slash = rest?.indexOf("/") ?? -1;
  return rest !== null && slash >= 0 ? rest.slice(slash + 1) : filter;
}

/** A topic in two parts: what may be cut when there is no room, and the last two levels, which stay whole. */
export function shortened(topic: string): { prefix: string; leaf: string } {
  const last = topic.lastIndexOf("/");
  const before = last > 0 ? topic.lastIndexOf("/", last - 1) : -1;
  return { prefix: topic.slice(0, before + 1), leaf: topic.slice(before + 1) };
}

/** A filter in pieces, so that wildcards can be coloured. */
export function filterPieces(filter: string): { text: string; wild: boolean }[] {
  return filter
    .split(/([+#])/)
    .filter((piece) => piece !== "")
    .map((text) => ({ text, wild: text === "+" || text === "#" }));
}
