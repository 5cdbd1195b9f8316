/** What is worth saying about a certificate, in words. In: facts. Out: sentences, worst first. Pure. */
import type { CertificateInfo } from "$lib/backend/types/CertificateInfo";
import { date, span } from "$lib/format";
import { m } from "$messages";

export type Tone = "ok" | "info" | "warn" | "err";

export interface Check {
  tone: Tone;
  /** The statement. */
  strong: string;
  /** What follows from it. */
  text?: string;
}

export type Validity = "valid" | "soon" | "expired" | "not_yet";

const SOON_MICROS = 30 * 86_400_000_000;
const TONES: Tone[] = ["err", "warn", "ok", "info"];

export function validityOf(certificate: CertificateInfo, now: number): Validity {
  if (now > certificate.not_after) return "expired";
  if (now < certificate.not_before) return "not_yet";
  return certificate.not_after - now < SOON_MICROS ? "soon" : "valid";
}

/** Where now stands between the two dates, in percent. */
export function validityPosition({ not_before, not_after }: CertificateInfo, now: number): number {
  const length = Math.max(1, not_after - not_before);
  return Math.min(100, Math.max(0, ((now - not_before) / length) * 100));
}

/** Checks of the dates alone. */
export function dateChecks(certificate: CertificateInfo, now: number): Check[] {
  switch (validityOf(certificate, now)) {
    case "expired":
      return [{ tone: "err", strong: m.cert_check_expired({ date: date(certificate.not_after) }) }];
    case "not_yet":
      return [
        {
          tone: "err",
          strong: m.cert_check_not_yet({ date: date(certificate.not_before) }),
          text: m.cert_check_clock(),
        },
      ];
    case "soon":
      return [{ tone: "warn", strong: m.cert_check_soon({ span: span(certificate.not_after - now) }) }];
    case "valid":
      return [];
  }
}

export interface ClientFacts {
  /** All certificates of the file, this one first. */
  chain: CertificateInfo[];
  /** `null` when there is no key to compare. */
  keyMatches: boolean | null;
  /** It is not open yet when it could not be compared. */
  keyEncrypted: boolean;
  /** It is on a token, which is asked when connecting. */
  onToken?: boolean;
}

/** A client certificate in the editor. */
export function clientChecks(certificate: CertificateInfo, facts: ClientFacts, now: number): Check[] {
  const checks = dateChecks(certificate, now);
  for (const check of checks) {
    if (validityOf(certificate, now) === "expired") check.text = m.cert_check_expired_client();
  }
  if (facts.keyMatches === null && facts.keyEncrypted) {
    checks.push({ tone: "err", strong: m.cert_check_encrypted(), text: m.cert_check_encrypted_text() });
  } else if (facts.keyMatches === null && facts.onToken) {
    checks.push({ tone: "info", strong: m.auth_token_checked() });
  } else if (facts.keyMatches === null) {
    checks.push({ tone: "warn", strong: m.cert_check_key_unknown() });
  } else {
    checks.push(
      facts.keyMatches
        ? { tone: "ok", strong: m.cert_check_key_matches() }
        : { tone: "err", strong: m.cert_check_key_mismatch() },
    );
  }
  const purposes = extendedUsages(certificate);
  if (purposes.length > 0 && !purposes.includes("clientAuth")) {
    checks.push({ tone: "warn", strong: m.cert_check_not_client(), text: purposes.join(", ") });
  }
  if (certificate.self_signed) checks.push({ tone: "info", strong: m.cert_check_self_signed() });
  else if (facts.chain.some((other) => other !== certificate && other.subject === certificate.issuer)) {
    checks.push({ tone: "ok", strong: m.cert_check_chain({ n: facts.chain.length }) });
  } else checks.push({ tone: "info", strong: m.cert_check_chain_none({ issuer: certificate.issuer }) });
  return worstFirst(checks);
}

/** A certificate that was sent; `named` is whether the server named an issuer of its chain, null when it named none. */
export function sentChecks(certificate: CertificateInfo, named: boolean | null, now: number): Check[] {
  const checks = dateChecks(certificate, now);
  if (named !== null) {
    checks.push(
      named
        ? { tone: "ok", strong: m.cert_check_issuer_accepted() }
        : { tone: "warn", strong: m.cert_check_issuer_unknown() },
    );
  }
  return worstFirst(checks);
}

/** The certificate that a server presented for `host`. */
export function serverChecks(certificate: CertificateInfo, host: string, now: number): Check[] {
  const checks = dateChecks(certificate, now);
  if (checks.length === 0) checks.push({ tone: "ok", strong: m.cert_check_valid() });
  if (host) {
    checks.push(
      namesHost(certificate, host)
        ? { tone: "ok", strong: m.cert_check_host_ok({ host }) }
        : { tone: "err", strong: m.cert_check_host_bad({ host }) },
    );
  }
  const purposes = extendedUsages(certificate);
  if (purposes.length > 0 && !purposes.includes("serverAuth")) {
    checks.push({ tone: "err", strong: m.cert_check_not_server(), text: purposes.join(", ") });
  }
  if (certificate.self_signed) checks.push({ tone: "info", strong: m.cert_check_self_signed() });
  return worstFirst(checks);
}

/** A certificate given as a CA. */
export function authorityChecks(certificate: CertificateInfo, now: number): Check[] {
  const checks = dateChecks(certificate, now);
  if (!certificate.is_ca) checks.push({ tone: "warn", strong: m.cert_check_not_ca() });
  return worstFirst(checks);
}

/** Whether the SANs name the host, with a wildcard for one label (RFC 9525). */
export function namesHost({ sans }: CertificateInfo, host: string): boolean {
  const wanted = host.toLowerCase().replace(/^\[|\]$/g, "");
  return sans.some((san) => {
    const [kind = "", ...rest] = san.split(":");
    const name = rest.join(":").toLowerCase();
    if (kind === "IP") return name === wanted;
    if (kind !== "DNS") return false;
    if (!name.startsWith("*.")) return name === wanted;
    const dot = wanted.indexOf(".");
    return dot > 0 && wanted.slice(dot) === name.slice(1);
  });
}

/** DER in base64 as a PEM file. */
export function pemOf({ der_base64 }: CertificateInfo): string {
  const lines = der_base64.match(/.{1,64}/g) ?? [];
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n");
}

export function shortName(certificate: CertificateInfo): string {
  return certificate.common_name ?? certificate.sans[0]?.replace(/^[A-Z]+:/, "") ?? certificate.subject;
}

export function fileName(path: string): string {
  return path.split(/[/\\]/).pop() ?? path;
}

/** Extended key usages (RFC 5280, 4.2.1.12) end in a purpose; key usages do not. */
function extendedUsages({ usages }: CertificateInfo): string[] {
  const purposes = [
    "serverAuth",
    "clientAuth",
    "codeSigning",
    "emailProtection",
    "timeStamping",
    "OCSPSigning",
  ];
  return usages.includes("anyExtendedKeyUsage") ? [] : usages.filter((usage) => purposes.includes(usage));
}

function worstFirst(checks: Check[]): Check[] {
  return checks.sort((a, b) => TONES.indexOf(a.tone) - TONES.indexOf(b.tone));
}
