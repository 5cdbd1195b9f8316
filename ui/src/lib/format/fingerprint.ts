/** Fingerprints and other identifiers in hexadecimal. */

/** Pairs with colons in upper case: `9C:41:0E`. */
export function fingerprint(hex: string): string {
  return (hex.match(/../g) ?? []).join(":").toUpperCase();
}

/** The same, its middle left out: `9C:41:0E:7B:D2:58:AF:13:66:…:E0:4D`. */
export function shortFingerprint(hex: string): string {
  const pairs = hex.toUpperCase().match(/../g) ?? [];
  if (pairs.length <= 12) return pairs.join(":");
  return [...pairs.slice(0, 9), "…", ...pairs.slice(-2)].join(":");
}

/** What a person may have pasted (colons, spaces, upper case, a `SHA256` in front) as the engine keeps it. */
export function plainFingerprint(text: string): string {
  return text
    .replace(/^\s*sha-?256(\s*fingerprint)?\s*[:=]?/i, "")
    .replace(/[\s:]/g, "")
    .toLowerCase();
}
