/**
 * JSON as its author wrote it. In: source text. Out: the same tokens on more lines, or where they stop being
 * JSON (RFC 8259). Values are never parsed into numbers or strings, so nothing is rounded, reordered or
 * dropped. Pure.
 */
export interface JsonProblem {
  /** What is wrong: the text ends too early, or something stands where it cannot. */
  kind: "ends" | "unexpected";
  /** Position in the text. */
  at: number;
  /** From 1. */
  line: number;
  /** From 1. */
  column: number;
}

/** On failure, `text` is what was JSON until then on its lines, and the rest as it is. */
export type JsonResult = { ok: true; text: string } | { ok: false; problem: JsonProblem; text: string };

const TOKEN =
  /[ \t\r\n]*(?:([{}[\],:])|("(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)(?![\w.+-]))/y;

/** What may come next. */
type Expect = "value" | "value_or_end" | "key" | "key_or_end" | "colon" | "comma_or_end" | "nothing";

/** Puts each member and element on its own line. */
export function prettyJson(source: string): JsonResult {
  const out: string[] = [];
  const open: ("{" | "[")[] = [];
  let expect: Expect = "value";
  let at = 0;
  const after = (): Expect => (open.length > 0 ? "comma_or_end" : "nothing");
  const newline = () => out.push("\n", "  ".repeat(open.length));
  const failed = (where: number, kind: JsonProblem["kind"]): JsonResult => ({
    ok: false,
    problem: problem(source, where, kind),
    text: out.join("") + source.slice(at),
  });

  for (;;) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(source);
    if (!match) break;
    const [whole, mark, string, scalar] = match;
    const start = at + whole.length - (mark ?? string ?? scalar ?? "").length;
    const fail = () => failed(start, "unexpected");

    if (mark === "}" || mark === "]") {
      const opened = mark === "}" ? "{" : "[";
      const empty: Expect = mark === "}" ? "key_or_end" : "value_or_end";
      if (open.at(-1) !== opened || (expect !== "comma_or_end" && expect !== empty)) return fail();
      open.pop();
      if (expect !== empty) newline();
      out.push(mark);
      expect = after();
    } else if (mark === ",") {
      if (expect !== "comma_or_end") return fail();
      out.push(",");
      newline();
      expect = open.at(-1) === "{" ? "key" : "value";
    } else if (mark === ":") {
      if (expect !== "colon") return fail();
      out.push(": ");
      expect = "value";
    } else {
      const key: boolean = expect === "key" || expect === "key_or_end";
      if (key ? string === undefined : expect !== "value" && expect !== "value_or_end") return fail();
      if (expect === "key_or_end" || expect === "value_or_end") newline();
      if (mark === "{" || mark === "[") {
        out.push(mark);
        open.push(mark);
        expect = mark === "{" ? "key_or_end" : "value_or_end";
      } else {
        out.push(string ?? scalar ?? "");
        expect = key ? "colon" : after();
      }
    }
    at = TOKEN.lastIndex;
  }

  const rest = source.slice(at).search(/[^ \t\r\n]/);
  if (rest >= 0) {
    const start = at + rest;
    // A string, number or word that the end of the text cuts off is not wrong yet, only short.
    const cut =
      /^(?:"(?:[^"\\\u0000-\u001f]|\\.)*\\?|-?[0-9.eE+-]*|t(?:ru?)?|f(?:a(?:ls?)?)?|n(?:ul?)?)$/.test(
        source.slice(start),
      );
    return failed(cut ? source.length : start, cut ? "ends" : "unexpected");
  }
  if (expect !== "nothing") return failed(source.length, "ends");
  return { ok: true, text: out.join("") };
}

/** Whether text looks like JSON of the kind worth folding: an object or an array. */
export function looksLikeJson(text: string): boolean {
  return /^\s*[{[]/.test(text);
}

function problem(source: string, at: number, kind: JsonProblem["kind"]): JsonProblem {
  const before = source.slice(0, at);
  const line = before.split("\n").length;
  return { kind, at, line, column: at - before.lastIndexOf("\n") };
}

/** A piece of a one-line preview: keys and punctuation step back, values stand out. */
export interface PreviewPiece {
  text: string;
  quiet: boolean;
}

/** Takes a preview apart for colouring; anything but an object or array is one piece. */
export function previewPieces(preview: string): PreviewPiece[] {
  if (!looksLikeJson(preview)) return [{ text: preview, quiet: false }];
  const pieces: PreviewPiece[] = [];
  for (const [text, key, mark] of preview.matchAll(
    /("(?:[^"\\]|\\.)*"\s*:)|([{}[\],:\s]+)|"(?:[^"\\]|\\.)*"?|[^"{}[\],:\s]+/g,
  )) {
    const quiet = key !== undefined || mark !== undefined;
    const last = pieces.at(-1);
    if (last?.quiet === quiet) last.text += text;
    else pieces.push({ text, quiet });
  }
  return pieces;
}
