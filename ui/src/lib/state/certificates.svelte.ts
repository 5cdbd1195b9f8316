/**
 * The certificate library as the engine lists it, and what ends soon. In: the engine's list, read again when
 * connections change and once an hour. Out: the list, the marks in the connection list, and an announcement 30, 7 and 1
 * days before a certificate that a connection uses ends; each once.
 */
import { untrack } from "svelte";
import { backend } from "$lib/backend";
import type { LibraryCertificate } from "$lib/backend/types/LibraryCertificate";
import type { ProfileId } from "$lib/backend/types/ProfileId";
import { nowMicros } from "$lib/format";
import { keyPlace } from "$lib/keyplace";
import { m } from "$messages";
import { engine } from "./engine.svelte";
import { navigation } from "./navigation.svelte";
import { toasts } from "./toasts.svelte";

export const DAY_MICROS = 86_400_000_000;
const THRESHOLDS = [1, 7, 30];
const HOUR_MS = 3_600_000;
/** A burst of changes is one reading. */
const SETTLE_MS = 300;
const KEY = "certificates.announced";

/** How close a certificate's end is. */
export type Ending = "ended" | 1 | 7 | 30;

export function endingOf({ not_after }: Pick<LibraryCertificate, "not_after">, now: number): Ending | null {
  if (not_after === null) return null;
  if (not_after <= now) return "ended";
  return (THRESHOLDS.find((days) => not_after - now <= days * DAY_MICROS) ?? null) as Ending | null;
}

/** What it is called: by its first certificate, else by its file, else by its key. */
export function libraryName({ identity, report, file, key_file }: LibraryCertificate): string {
  const first = identity?.chain[0] ?? report.certificates[0];
  const list = report.revocation_lists[0];
  const named = first?.common_name ?? first?.subject ?? list?.issuer ?? file.split(/[/\\]/).pop();
  if (named) return named;
  const place = keyPlace(key_file);
  if (place.kind === "token") return place.label || place.token || m.library_key_on_token();
  return m.library_key_in_vault();
}

/** The one file or key that it stands for. */
export function libraryId({ file, key_file }: Pick<LibraryCertificate, "file" | "key_file">): string {
  return file || key_file;
}

class Certificates {
  list = $state.raw<LibraryCertificate[]>([]);
  /** Whether the list was read once. */
  ready = $state(false);
  #asked = 0;

  /** The closest end among what a connection uses. */
  endingFor(id: ProfileId): { certificate: LibraryCertificate; ending: Ending } | null {
    const now = nowMicros();
    const used = this.list
      .filter(({ used_by }) => used_by.includes(id))
      .flatMap((certificate) => {
        const ending = endingOf(certificate, now);
        return ending === null ? [] : [{ certificate, ending }];
      });
    return used.sort((a, b) => (a.certificate.not_after ?? 0) - (b.certificate.not_after ?? 0))[0] ?? null;
  }

  /** Follows the saved connections; to be called where effects live. */
  follow(): void {
    $effect(() => {
      void engine.tree;
      const timer = setTimeout(() => untrack(() => void this.refresh()), SETTLE_MS);
      return () => clearTimeout(timer);
    });
    $effect(() => {
      const timer = setInterval(() => void this.refresh(), HOUR_MS);
      return () => clearInterval(timer);
    });
  }

  async refresh(): Promise<void> {
    const number = ++this.#asked;
    const list = await backend.certificateLibrary().catch(() => null);
    if (list === null || number !== this.#asked) return;
    this.list = list;
    this.ready = true;
    await this.#announce();
  }

  async #announce(): Promise<void> {
    const now = nowMicros();
    const known = (await backend.value<Record<string, Ending>>(KEY).catch(() => null)) ?? {};
    const next: Record<string, Ending> = {};
    for (const certificate of this.list) {
      const ending = endingOf(certificate, now);
      if (ending === null || certificate.used_by.length === 0) continue;
      const key = `${certificate.role} ${libraryId(certificate)} ${certificate.not_after}`;
      next[key] = ending;
      if (known[key] !== ending) this.#say(certificate, ending);
    }
    if (JSON.stringify(known) !== JSON.stringify(next)) await backend.setValue(KEY, next).catch(() => {});
  }

  #say(certificate: LibraryCertificate, ending: Ending): void {
    toasts.show({
      tone: "warn",
      text: () => endingText(libraryName(certificate), ending),
      action: { label: () => m.library_show(), run: () => navigation.certificates(libraryId(certificate)) },
    });
  }
}

/** *press-42 ends within 7 days* */
export function endingText(name: string, ending: Ending): string {
  if (ending === "ended") return m.library_ended({ name });
  return ending === 1 ? m.library_ends_1({ name }) : m.library_ends({ name, days: ending });
}

export const certificates = new Certificates();
