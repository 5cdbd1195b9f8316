/** A failure's raw facts as lines and bytes. In: what diagnosis attached. Out: what to draw. Pure. */
import type { CertificateInfo } from "$lib/backend/types/CertificateInfo";
import { dateTime } from "$lib/format";

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

/** A certificate among the evidence, as far as it tells itself from another. */
export type CertificateFacts = Pick<
  CertificateInfo,
  | "subject"
  | "issuer"
  | "sans"
  | "serial"
  | "not_before"
  | "not_after"
  | "key_type"
  | "sha256"
  | "spki_sha256"
>;

/** The pinned and the presented certificate, when a pin broke and the pinned one is known. */
export function brokenPin(
  evidence: Record<string, unknown>,
): { pinned: CertificateFacts; presented: CertificateFacts } | null {
  const { pinned, presented } = evidence;
  if (!pinned || !presented) return null;
  return { pinned: pinned as CertificateFacts, presented: presented as CertificateFacts };
}

const LINE = 8;

export function evidenceOf(evidence: Record<string, unknown>): Evidence[] {
  return Object.entries(evidence)
    .filter(
      ([name, value]) =>
        !isCertificate(name, value) && value !== null && value !== "" && !isTwin(name, evidence),
    )
    .map(([name, value]) => {
      const text = isInstant(name, value) ? dateTime(value) : textOf(value);
      // A number of bytes is a number.
      const dump = typeof value === "string" && isBytes(name, text);
      return dump ? { name, text, bytes: hexLines(text) } : { name, text };
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

/** Shown as a comparison, not as text. */
function isCertificate(name: string, value: unknown): boolean {
  return (name === "pinned" || name === "presented") && typeof value === "object";
}

/** The text form of bytes that are there in hexadecimal too. */
function isTwin(name: string, evidence: Record<string, unknown>): boolean {
  return name.endsWith("_text") && name.replace(/_text$/, "_hex") in evidence;
}

function isInstant(name: string, value: unknown): value is number {
  return typeof value === "number" && value > 1e14 && /^(not_before|not_after|.*_at)$/.test(name);
}

function isBytes(name: string, text: string): boolean {
  const hex = text.replace(/\s/g, "");
  return /(bytes|hex)/.test(name) && hex.length >= 4 && hex.length % 2 === 0 && /^[0-9a-f]+$/i.test(hex);
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
