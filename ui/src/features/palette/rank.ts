/** Which entries a query finds, best first. Every word has to occur; a start of the name beats a middle. Pure. */
export interface Findable {
  label: string;
  /** Also searched, shown beside the label. */
  detail: string;
}

export function rank<T extends Findable>(entries: readonly T[], query: string): T[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return entries
    .map((entry, index) => ({ entry, index, score: score(entry, words) }))
    .filter(({ score: value }) => value >= 0)
    .sort((a, b) => b.score - a.score || a.index - b.index)
    .map(({ entry }) => entry);
}

function score({ label, detail }: Findable, words: string[]): number {
  const name = label.toLowerCase();
  const rest = detail.toLowerCase();
  let total = 0;
  for (const word of words) {
    const at = name.indexOf(word);
    if (at === 0) total += 3;
    else if (at > 0) total += /[\s/_.-]/.test(name[at - 1] ?? "") ? 2 : 1;
    else if (!rest.includes(word)) return -1;
  }
  return total;
}
