/**
 * A connection while it is edited. In: what is typed. Out: the draft, the secrets to be set with it, and what
 * the engine thinks of it. Secrets only ever leave towards the engine; what is kept for later has none.
 */
import { getContext, setContext } from "svelte";
import type { DraftReport } from "$lib/backend/types/DraftReport";
import type { FolderId } from "$lib/backend/types/FolderId";
import type { Problem } from "$lib/backend/types/Problem";
import type { ProfileDraft } from "$lib/backend/types/ProfileDraft";
import type { SecretEdit } from "$lib/backend/types/SecretEdit";
import type { SecretEncoding } from "$lib/backend/types/SecretEncoding";
import type { SecretField } from "$lib/backend/types/SecretField";
import type { SecretPlace } from "$lib/backend/types/SecretPlace";
import type { StoredSecret } from "$lib/backend/types/StoredSecret";
import { schemeOf } from "$lib/endpoint";
import { secretKey } from "$lib/secrets";
import { problemText } from "$lib/problems";
import { inOrder, isWithin } from "./problems";

/** What is kept of unsaved changes; never a secret. */
export interface KeptDraft {
  draft: ProfileDraft;
  folder: FolderId | null;
}

/** A remark as fields take it. */
export interface FieldRemark {
  error: string | null;
  warning: string | null;
  "data-field": string;
}

export class EditorDraft {
  draft = $state() as ProfileDraft;
  folder = $state<FolderId | null>(null);
  report = $state.raw<DraftReport>({
    url: null,
    problems: [],
    identity: null,
    authorities: [],
    revocation_lists: [],
    pinned: null,
  });
  /** Typed secrets: `null` leaves what is set, an empty text clears it. */
  password = $state<string | null>(null);
  passwordEncoding = $state<SecretEncoding>("utf8");
  proxyPassword = $state<string | null>(null);
  keyPassphrase = $state<string | null>(null);
  tokenPin = $state<string | null>(null);
  /** By the header's name in lower case. */
  headerSecrets = $state<Record<string, string | null>>({});
  /** Which secrets the engine has, and where. */
  stored = $state.raw<StoredSecret[]>([]);
  readonly isNew: boolean;
  #saved = $state("");

  scheme = $derived(schemeOf(this.draft.endpoint));
  v5 = $derived(this.draft.settings.session.version === "5");
  problems = $derived(inOrder(this.report.problems));
  edits = $derived(this.#edits());
  changed = $derived(this.#text() !== this.#saved || this.edits.length > 0);

  /** Fields that were visited: a new connection is not scolded for what nobody has reached yet. */
  #visited = $state.raw<ReadonlySet<string>>(new Set());

  constructor(start: KeptDraft, stored: StoredSecret[], isNew: boolean) {
    this.draft = structuredClone(start.draft);
    this.folder = start.folder;
    this.stored = stored;
    this.isNew = isNew;
    this.#saved = this.#text();
  }

  /** A plain copy, for the engine and for keeping. */
  snapshot(): ProfileDraft {
    return $state.snapshot(this.draft) as ProfileDraft;
  }

  /** What to keep of unsaved changes. */
  kept(): KeptDraft {
    return { draft: this.snapshot(), folder: this.folder };
  }

  replace({ draft, folder }: KeptDraft): void {
    this.draft = structuredClone(draft);
    this.folder = folder;
  }

  visit(field: string): void {
    if (!this.#visited.has(field)) this.#visited = new Set(this.#visited).add(field);
  }

  visitAll(): void {
    this.#visited = new Set([...this.#visited, ...this.report.problems.map(({ field }) => field)]);
  }

  problemsAt(field: string): Problem[] {
    return this.report.problems.filter((problem) => isWithin(problem.field, field));
  }

  /** What a field shows about itself. */
  at(field: string): FieldRemark {
    const problems = this.problemsAt(field).filter(
      (problem) => !this.isNew || this.#visited.has(problem.field) || this.#visited.has(field),
    );
    const text = (severity: Problem["severity"]) => {
      const found = problems.find((problem) => problem.severity === severity);
      return found ? problemText(found) : null;
    };
    return { error: text("error"), warning: text("warning"), "data-field": field };
  }

  isStored(field: SecretField): boolean {
    return this.placeOf(field) !== null;
  }

  /** Where the engine keeps a secret, if it has it. */
  placeOf(field: SecretField): SecretPlace | null {
    const wanted = secretKey(field);
    return this.stored.find((other) => secretKey(other.field) === wanted)?.place ?? null;
  }

  /** Renames a header; what was typed for a secret one goes along. */
  renameHeader(index: number, name: string): void {
    const header = this.draft.settings.websocket.headers[index];
    if (!header) return;
    const [from, to] = [header.name.toLowerCase(), name.toLowerCase()];
    header.name = name;
    if (from === to || !(from in this.headerSecrets)) return;
    this.headerSecrets[to] = this.headerSecrets[from] ?? null;
    delete this.headerSecrets[from];
  }

  /** Moves a header's value to the secrets, or what was typed back to the settings. */
  setHeaderSecret(index: number, secret: boolean): void {
    const header = this.draft.settings.websocket.headers[index];
    if (!header || header.secret === secret) return;
    const key = header.name.toLowerCase();
    if (secret) {
      this.headerSecrets[key] = header.value || null;
      header.value = "";
    } else {
      header.value = this.headerSecrets[key] ?? "";
      delete this.headerSecrets[key];
    }
    header.secret = secret;
  }

  /** Takes what a URL said of the login: a user name stays with the settings, a password with the secrets. */
  takeLogin(username: string | null, password: string | null): void {
    const { login } = this.draft.settings;
    if (username === null && password === null) return;
    login.enabled = true;
    if (username !== null) login.username = username;
    if (password !== null) {
      this.password = password;
      this.passwordEncoding = "utf8";
    }
  }

  #text(): string {
    return JSON.stringify([this.draft, this.folder]);
  }

  #edits(): SecretEdit[] {
    const edits: SecretEdit[] = [];
    const add = (field: SecretField, typed: string | null, encoding: SecretEncoding = "utf8") => {
      if (typed) edits.push({ field, value: typed, encoding });
      else if (typed === "" && this.isStored(field)) edits.push({ field, value: null, encoding: "utf8" });
    };
    add({ kind: "password" }, this.password, this.passwordEncoding);
    add({ kind: "proxy_password" }, this.proxyPassword);
    add({ kind: "key_passphrase" }, this.keyPassphrase);
    add({ kind: "token_pin" }, this.tokenPin);
    const names = new Set<string>();
    for (const { name, secret } of this.draft.settings.websocket.headers) {
      const lower = name.toLowerCase();
      if (!secret || names.has(lower)) continue;
      names.add(lower);
      add({ kind: "websocket_header", name: lower }, this.headerSecrets[lower] ?? null);
    }
    // Values of headers that are gone or no longer secret have nothing to belong to.
    for (const { field } of this.stored) {
      if (field.kind === "websocket_header" && !names.has(field.name)) add(field, "");
    }
    return edits;
  }
}

const KEY = Symbol("editor");

export function provideEditor(editor: EditorDraft): EditorDraft {
  return setContext(KEY, editor);
}

export function useEditor(): EditorDraft {
  return getContext<EditorDraft>(KEY);
}
