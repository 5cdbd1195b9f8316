/** Two texts, line by line. In: lines. Out: the same lines in one order, each of them common or of one text alone. Pure. */

export interface DiffLine {
  side: "both" | "a" | "b";
  text: string;
  /** Its number in each text, from 1 on; null where it is not. */
  a: number | null;
  b: number | null;
}

/** The most comparisons of lines that are made; beyond, it takes too long to wait for. */
const MOST = 4_000_000;

/** The shortest way from one text to the other; null when they are too long for that. */
export function diffLines(a: readonly string[], b: readonly string[]): DiffLine[] | null {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end])
    end++;
  const [rows, columns] = [a.length - start - end, b.length - start - end];
  if (rows * columns > MOST) return null;
  // Longest common subsequence of the middles, from the end; one row after the other in one array.
  const width = columns + 1;
  const common = new Uint32Array((rows + 1) * width);
  for (let i = rows - 1; i >= 0; i--) {
    for (let j = columns - 1; j >= 0; j--) {
      common[i * width + j] =
        a[start + i] === b[start + j]
          ? 1 + (common[(i + 1) * width + j + 1] ?? 0)
          : Math.max(common[(i + 1) * width + j] ?? 0, common[i * width + j + 1] ?? 0);
    }
  }
  const lines: DiffLine[] = [];
  const both = (i: number, j: number) => lines.push({ side: "both", text: a[i] ?? "", a: i + 1, b: j + 1 });
  for (let i = 0; i < start; i++) both(i, i);
  let [i, j] = [0, 0];
  while (i < rows || j < columns) {
    if (i < rows && j < columns && a[start + i] === b[start + j]) both(start + i++, start + j++);
    else if (
      i < rows &&
      (j === columns || (common[(i + 1) * width + j] ?? 0) >= (common[i * width + j + 1] ?? 0))
    ) {
      lines.push({ side: "a", text: a[start + i] ?? "", a: start + i + 1, b: null });
      i++;
    } else {
      lines.push({ side: "b", text: b[start + j] ?? "", a: null, b: start + j + 1 });
      j++;
    }
  }
  for (let k = end; k > 0; k--) both(a.length - k, b.length - k);
  return lines;
}
