/** What is asked before a fix trusts a certificate. In: the fix and what the server presented. Pure. */
import type { CertificateInfo } from "$lib/backend/types/CertificateInfo";
import type { Fix } from "$lib/backend/types/Fix";
import { needsCaFile } from "$lib/fixes";

export interface TrustQuestion {
  fix: Fix;
  kind: "pin" | "presented" | "file";
  certificates: CertificateInfo[];
  /** The CA file that was chosen. */
  caFile?: string;
  /** Whether one of them is named as issuer by what the server presented; null where that says nothing. */
  issued: boolean | null;
}

/** The question, or null where the fix can go ahead or needs a file first. */
export function questionOf(fix: Fix, chain: CertificateInfo[]): TrustQuestion | null {
  if (fix.kind !== "add_trust") return null;
  const { mode, pinned_sha256 } = fix.change;
  if (mode === "pinned") {
    const certificates = chain.filter((certificate) =>
      [certificate.sha256, certificate.spki_sha256].includes(pinned_sha256?.toLowerCase() ?? ""),
    );
    return certificates.length > 0 ? { fix, kind: "pin", certificates, issued: null } : null;
  }
  const root = chain.slice(1).find(({ is_ca, self_signed }) => is_ca && self_signed);
  if (!needsCaFile(fix) || !root) return null;
  return { fix, kind: "presented", certificates: [root], issued: null };
}

/** The question about a file that was chosen. */
export function questionOfFile(
  fix: Fix,
  caFile: string,
  certificates: CertificateInfo[],
  chain: CertificateInfo[],
): TrustQuestion {
  const named = certificates.filter(({ subject, sha256 }) =>
    chain.some((presented) => presented.issuer === subject || presented.sha256 === sha256),
  );
  const others = certificates.filter((certificate) => !named.includes(certificate));
  const issued = chain.length === 0 ? null : named.length > 0;
  return { fix, kind: "file", certificates: [...named, ...others], caFile, issued };
}
