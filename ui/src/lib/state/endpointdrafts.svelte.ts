/**
 * Endpoints that were changed in the header but not saved yet, one a connection. In: switches and URLs. Out: the
 * endpoint to show, and a saved connection. Kept across restarts, but for a password from a URL: that waits here for
 * the save, and only here.
 */
import { backend } from "$lib/backend";
import type { EndpointParts } from "$lib/backend/types/EndpointParts";
import type { ParsedEndpoint } from "$lib/backend/types/ParsedEndpoint";
import type { ProfileId } from "$lib/backend/types/ProfileId";
import type { SecretEdit } from "$lib/backend/types/SecretEdit";
import { keepSoon } from "./keeping";

export interface EndpointDraft {
  endpoint: EndpointParts;
  username: string | null;
  password: string | null;
  /** Connect without the client certificate from now on. */
  dropCertificate?: boolean;
}

const KEY = "endpoints";

class EndpointDrafts {
  #drafts = $state.raw<ReadonlyMap<ProfileId, EndpointDraft>>(new Map());

  async restore(): Promise<void> {
    const kept = await backend.value<[ProfileId, EndpointDraft][]>(KEY).catch(() => null);
    this.#drafts = new Map(kept ?? []);
  }

  of(id: ProfileId): EndpointDraft | undefined {
    return this.#drafts.get(id);
  }

  change(id: ProfileId, endpoint: EndpointParts): void {
    this.#set(id, { ...this.#known(id, endpoint), endpoint });
  }

  paste(id: ProfileId, { endpoint, username, password }: ParsedEndpoint): void {
    const known = this.#known(id, endpoint);
    this.#set(id, {
      ...known,
      endpoint,
      username: username ?? known.username,
      password: password ?? known.password,
    });
  }

  /** A password of a text that was no URL. */
  password(id: ProfileId, endpoint: EndpointParts, password: string): void {
    this.#set(id, { ...this.#known(id, endpoint), password });
  }

  dropCertificate(id: ProfileId, endpoint: EndpointParts): void {
    this.#set(id, { ...this.#known(id, endpoint), dropCertificate: true });
  }

  discard(id: ProfileId): void {
    const drafts = new Map(this.#drafts);
    drafts.delete(id);
    this.#take(drafts);
  }

  /** Saves the connection with its draft in it; nothing happens when there is none. */
  async save(id: ProfileId): Promise<void> {
    const draft = this.#drafts.get(id);
    if (!draft) return;
    const profile = await backend.profile(id);
    const { settings } = profile;
    if (draft.username !== null) settings.login = { enabled: true, username: draft.username };
    if (draft.dropCertificate) settings.client_certificate.enabled = false;
    await backend.saveProfile({ ...profile, endpoint: draft.endpoint }, null, passwordEdit(draft.password));
    this.discard(id);
  }

  #known(id: ProfileId, endpoint: EndpointParts): EndpointDraft {
    return this.#drafts.get(id) ?? { endpoint, username: null, password: null };
  }

  #set(id: ProfileId, draft: EndpointDraft): void {
    this.#take(new Map(this.#drafts).set(id, draft));
  }

  #take(drafts: ReadonlyMap<ProfileId, EndpointDraft>): void {
    this.#drafts = drafts;
    keepSoon(KEY, () => [...drafts].map(([id, draft]) => [id, { ...draft, password: null }]));
  }
}

export function passwordEdit(password: string | null): SecretEdit[] {
  return password === null ? [] : [{ field: { kind: "password" }, value: password, encoding: "utf8" }];
}

export const endpointDrafts = new EndpointDrafts();
