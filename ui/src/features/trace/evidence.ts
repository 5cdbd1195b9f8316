/** A failure's raw facts as lines and bytes. In: what diagnosis attached. Out: what to draw. Pure. */

export interface HexLine {
  offset: string;
  hex: string;
  text: string;
}

export interface Evidence {
  name: string;
  text: string;
  /** Set when the value is bytes in hexadecimal. */
  bytes?: HexLine[];
}

const LINE = 8;

export function evidenceOf(evidence: Record<string, unknown>): Evidence[] {
  return Object.entries(evidence)
    .filter(([, value]) => value !== null && value !== "")
    .map(([name, value]) => {
      const text = textOf(value);
      return isBytes(name, text) ? { name, text, bytes: hexLines(text) } : { name, text };
    });
}

export function hexLines(hex: string): HexLine[] {
  const pairs = hex.replace(/\s/g, "").match(/../g) ?? [];
  const lines: HexLine[] = [];
  for (let start = 0; start < pairs.length; start += LINE) {
    const slice = pairs.slice(start, start + LINE);
    lines.push({
      offset: start.toString(16).padStart(4, "0"),
      hex: slice.join(" "),
      text: slice.map(printable).join(""),
    });
  }
  return lines;
}

function isBytes(name: string, text: string): boolean {
  const hex = text.replace(/\s/g, "");
  return (
    /(bytes|hex|received|sent)/.test(name) &&
    hex.length >= 4 &&
    hex.length % 2 === 0 &&
    /^[0-9a-f]+$/i.test(hex)
  );
}

function printable(pair: string): string {
  const code = Number.parseInt(pair, 16);
  return code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : "·";
}

function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map(textOf).join(", ");
  return JSON.stringify(value);
}
