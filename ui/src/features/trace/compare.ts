/** Two attempts beside each other. In: traces. Out: rows with what each says, and whether that differs. Pure. */
import type { Trace } from "$lib/backend/types/Trace";
import { stageName } from "$lib/failures";
import { dateTime, duration } from "$lib/format";
import { m } from "$messages";
import { facts } from "./facts";
import { headline } from "./report";
import { cells } from "./stages";
import { timingWords } from "./timing";

export interface ComparedRow {
  label: string;
  one: string;
  other: string;
  differs: boolean;
}

/** Times always differ, so what they say does not count as a difference. */
export function compared(one: Trace, other: Trace): ComparedRow[] {
  const row = (label: string, a: string, b: string, counts = true): ComparedRow => ({
    label,
    one: a,
    other: b,
    differs: counts && a !== b,
  });
  const rows = [
    row(m.compare_started(), dateTime(one.started_at), dateTime(other.started_at), false),
    row(m.compare_result(), headline(one), headline(other), outcomeOf(one) !== outcomeOf(other)),
    row("URL", one.url, other.url),
  ];
  const [cellsOne, cellsOther] = [cells(one), cells(other)];
  for (const cell of cellsOne) {
    const twin = cellsOther.find(({ stage }) => stage === cell.stage);
    const words = (of: typeof cell | undefined) =>
      of ? [of.micros === null ? "" : duration(of.micros), of.fact].filter(Boolean).join(" · ") : "";
    rows.push(row(stageName(cell.stage), words(cell), words(twin), cell.state !== twin?.state));
    const [left, right] = [factsOf(one, cell.stage), factsOf(other, cell.stage)];
    // What only one of them reached, its cell says.
    if (left.size === 0 || right.size === 0) continue;
    for (const label of new Set([...left.keys(), ...right.keys()])) {
      const [a, b] = [left.get(label) ?? "", right.get(label) ?? ""];
      // Every connection has a local port of its own.
      if (a !== b) rows.push(row(`${stageName(cell.stage)}: ${label}`, a, b, label !== m.fact_local()));
    }
  }
  rows.push(
    row(
      m.timing_title(),
      one.timing.map(timingWords).join(" "),
      other.timing.map(timingWords).join(" "),
      false,
    ),
  );
  return rows;
}

function outcomeOf(trace: Trace): string {
  const failure = trace.verdict?.failure ?? trace.end?.failure;
  return failure?.code ?? trace.verdict?.outcome ?? "";
}

function factsOf(trace: Trace, stage: string): Map<string, string> {
  const report = trace.stages.find((other) => other.stage === stage && other.outcome !== "skipped");
  if (!report) return new Map();
  return new Map(facts(report).map(({ label, lines }) => [label, lines.map(({ text }) => text).join(", ")]));
}
