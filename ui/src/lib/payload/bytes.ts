/** Payload bytes as text and as hex. In: bytes. Out: text, or where they stop being text. Pure. */

export type DecodedText = { ok: true; text: string } | { ok: false; at: number };

/**
 * UTF-8 as RFC 3629 has it. When only the beginning of a payload is there, a character that the cut goes
 * through is left out; otherwise it is an error like any other.
 */
export function decodeText(bytes: Uint8Array, complete: boolean): DecodedText {
  const valid = validUtf8(bytes);
  if (valid < bytes.length && (complete || !cutOff(bytes, valid))) return { ok: false, at: valid };
  return { ok: true, text: new TextDecoder().decode(bytes.subarray(0, valid)) };
}

/** Whether decoded text is for reading: no control characters but tab and line ends. */
export function readable(text: string): boolean {
  return !/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/.test(text);
}

/** How many bytes from the start are valid UTF-8. */
function validUtf8(bytes: Uint8Array): number {
  let at = 0;
  while (at < bytes.length) {
    const lead = bytes[at] ?? 0;
    const more = continuations(lead);
    if (more < 0) return at;
    for (let k = 1; k <= more; k++) {
      const next = bytes[at + k];
      if (next === undefined || next < lowest(lead, k) || next > highest(lead, k)) return at;
    }
    at += more + 1;
  }
  return at;
}

/** Whether the rest from `at` on is the beginning of a character. */
function cutOff(bytes: Uint8Array, at: number): boolean {
  const lead = bytes[at] ?? 0;
  const there = bytes.length - at - 1;
  if (there >= continuations(lead)) return false;
  for (let k = 1; k <= there; k++) {
    const next = bytes[at + k] ?? 0;
    if (next < lowest(lead, k) || next > highest(lead, k)) return false;
  }
  return true;
}

function continuations(lead: number): number {
  if (lead < 0x80) return 0;
  if (lead >= 0xc2 && lead <= 0xdf) return 1;
  if (lead >= 0xe0 && lead <= 0xef) return 2;
  if (lead >= 0xf0 && lead <= 0xf4) return 3;
  return -1;
}

function lowest(lead: number, k: number): number {
  if (k > 1) return 0x80;
  return lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
}

function highest(lead: number, k: number): number {
  if (k > 1) return 0xbf;
  return lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
}

/** `a4 61 78` */
export function hexPairs(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

/** Printable ASCII as it is, anything else as `·`. */
export function ascii(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·")).join(
    "",
  );
}

/** Bytes of `a4 61 78` or `a46178`; null when it is not that. */
export function parseHex(text: string): Uint8Array | null {
  const digits = text.replace(/\s+/g, "");
  if (digits.length % 2 || /[^0-9a-f]/i.test(digits)) return null;
  return Uint8Array.from({ length: digits.length / 2 }, (_, k) =>
    parseInt(digits.slice(2 * k, 2 * k + 2), 16),
  );
}

/** Bytes of base64 (RFC 4648, 4), white space allowed; null when it is not that. */
export function parseBase64(text: string): Uint8Array | null {
  const clean = text.replace(/\s+/g, "");
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(clean)) return null;
  return Uint8Array.from(atob(clean), (char) => char.charCodeAt(0));
}

/** Base64 of bytes. */
export function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}
