/** Where secrets are kept, in words. Pure. */
import type { Keep } from "$lib/backend/types/Keep";
import type { SecretPlace } from "$lib/backend/types/SecretPlace";
import type { VaultStatus } from "$lib/backend/types/VaultStatus";
import { m } from "$messages";

/** The shortest passphrase that the engine takes. */
export const MIN_PASSPHRASE = 8;

/** What a field of a secret is told: whether the engine has it, and where. */
export function storedIn(place: SecretPlace | null): { stored: boolean; place?: string } {
  return place === null ? { stored: false } : { stored: true, place: m[`vault_place_${place}`]() };
}

export function keepName(keep: Keep): string {
  return m[`vault_keep_${keep}`]();
}

export function keepAbout(keep: Keep): string {
  return m[`vault_about_${keep}`]();
}

/** What happens to a secret that is typed now, in one line. */
export function keptText({ keep, state }: Pick<VaultStatus, "keep" | "state">): string {
  if (keep === "session" || keep === "never") return m[`vault_kept_${keep}`]();
  const fine = state === "open" || state === "closed" || (state === "empty" && keep === "keyring");
  return fine ? m[`vault_kept_${keep}`]() : m.vault_kept_waiting();
}

/** The state in a few words. */
export function stateText({ keep, state }: Pick<VaultStatus, "keep" | "state">): string {
  if (state === "locked" && keep === "keyring") return m.vault_state_keyring_locked();
  return m[`vault_state_${state}`]();
}

/** What to do about it; null when nothing is wrong. */
export function advice({ keep, state }: Pick<VaultStatus, "keep" | "state">): string | null {
  switch (state) {
    case "off":
    case "open":
    case "closed":
      return null;
    case "empty":
      return keep === "passphrase" ? m.vault_advice_new_passphrase() : null;
    case "locked":
      return keep === "keyring" ? m.vault_advice_keyring_locked() : m.vault_advice_locked();
    case "key_missing":
    case "key_corrupt":
    case "key_wrong":
      return m.vault_advice_key_lost();
    default:
      return m[`vault_advice_${state}`]();
  }
}

/** Whether the person can only go on with a new vault, or by repairing what is outside of Heliograph. */
export function isStuck({ keep, state }: Pick<VaultStatus, "keep" | "state">): boolean {
  const lost = state === "key_missing" || state === "key_corrupt" || state === "key_wrong";
  return lost || state === "newer_version" || (state === "locked" && keep === "passphrase");
}
