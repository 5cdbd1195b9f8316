/**
 * The window's one way to the engine. In: commands, one call each. Out: promises of answers, and one stream
 * of events. Nothing outside this folder knows how they travel.
 */
import type { AppInfo } from "./types/AppInfo";
import type { BrokerOptions } from "./types/BrokerOptions";
import type { BrokerStatus } from "./types/BrokerStatus";
import type { Comparison } from "./types/Comparison";
import type { ConnectionStatus } from "./types/ConnectionStatus";
import type { Difference } from "./types/Difference";
import type { DraftReport } from "./types/DraftReport";
import type { EngineEvent } from "./types/EngineEvent";
import type { ExportSummary } from "./types/ExportSummary";
import type { ImportDone } from "./types/ImportDone";
import type { ImportInput } from "./types/ImportInput";
import type { ImportPreview } from "./types/ImportPreview";
import type { Error as EngineError } from "./types/Error";
import type { FileReport } from "./types/FileReport";
import type { Folder } from "./types/Folder";
import type { FolderId } from "./types/FolderId";
import type { Keep } from "./types/Keep";
import type { LibraryTree } from "./types/LibraryTree";
import type { MessageDetail } from "./types/MessageDetail";
import type { OpenView } from "./types/OpenView";
import type { Page } from "./types/Page";
import type { ParsedEndpoint } from "./types/ParsedEndpoint";
import type { ProbeReport } from "./types/ProbeReport";
import type { Profile } from "./types/Profile";
import type { ProfileDraft } from "./types/ProfileDraft";
import type { ProfileId } from "./types/ProfileId";
import type { PublishOutcome } from "./types/PublishOutcome";
import type { PublishRequest } from "./types/PublishRequest";
import type { RecordingFormat } from "./types/RecordingFormat";
import type { ReplayOptions } from "./types/ReplayOptions";
import type { RowFilter } from "./types/RowFilter";
import type { Scheme } from "./types/Scheme";
import type { CertificateRequest } from "./types/CertificateRequest";
import type { DevelopmentCa } from "./types/DevelopmentCa";
import type { IssuedCertificate } from "./types/IssuedCertificate";
import type { ClientCertificate } from "./types/ClientCertificate";
import type { TokenReport } from "./types/TokenReport";
import type { CertificateReplacement } from "./types/CertificateReplacement";
import type { Keeping } from "./types/Keeping";
import type { LibraryCertificate } from "./types/LibraryCertificate";
import type { SecretEdit } from "./types/SecretEdit";
import type { StoredSecret } from "./types/StoredSecret";
import type { Subscription } from "./types/Subscription";
import type { SubscriptionState } from "./types/SubscriptionState";
import type { Trace } from "./types/Trace";
import type { TransferStatus } from "./types/TransferStatus";
import type { VaultStatus } from "./types/VaultStatus";
import { tauri } from "./tauri";

/** What a native file dialog is asked for. */
export interface FileQuestion {
  title: string;
  /** Extensions without the dot; everything when absent. */
  filters?: { name: string; extensions: string[] }[];
  /** Where it opens. */
  defaultPath?: string;
}

/** Files that are dragged over the window; `x` and `y` are CSS pixels. */
export type FileDrag =
  | { kind: "over"; x: number; y: number }
  | { kind: "drop"; x: number; y: number; paths: string[] }
  | { kind: "leave" };

/** Every rejected promise carries an `EngineError`. */
export interface Backend {
  /** Waits until the engine is open; the first call. Rejected, it can be asked again. */
  start(): Promise<void>;

  // Saved connections
  libraryTree(): Promise<LibraryTree>;
  profile(id: ProfileId): Promise<Profile>;
  /** A fresh draft with the defaults, a random id and a random client identifier. */
  newDraft(): Promise<ProfileDraft>;
  checkDraft(draft: ProfileDraft, secrets: SecretEdit[]): Promise<DraftReport>;
  parseEndpoint(text: string, fallback: Scheme): Promise<ParsedEndpoint>;
  /** Creates or replaces; `folder` only counts for a new one. */
  saveProfile(draft: ProfileDraft, folder: FolderId | null, secrets: SecretEdit[]): Promise<Profile>;
  renameProfile(id: ProfileId, name: string): Promise<void>;
  duplicateProfile(id: ProfileId): Promise<Profile>;
  /** Can be undone by `restoreProfile`. */
  deleteProfile(id: ProfileId): Promise<void>;
  restoreProfile(id: ProfileId): Promise<void>;
  /** What the library holds of a connection that cannot be read, as it stands there. */
  damagedProfile(id: string): Promise<string>;
  moveProfile(id: ProfileId, folder: FolderId | null, index: number): Promise<void>;
  createFolder(name: string): Promise<Folder>;
  renameFolder(id: FolderId, name: string): Promise<void>;
  /** Its connections move to the top; can be undone by `restoreFolder`. */
  deleteFolder(id: FolderId): Promise<void>;
  restoreFolder(id: FolderId): Promise<void>;
  collapseFolder(id: FolderId, collapsed: boolean): Promise<void>;
  moveFolder(id: FolderId, index: number): Promise<void>;

  // In and out
  /** What an import would do. The plan is kept, with its secrets, until it is applied, dropped or replaced. */
  previewImport(input: ImportInput, passphrase: string | null): Promise<ImportPreview>;
  /** Adds the connections of these rows of the plan; nothing that is there is changed. */
  applyImport(plan: number, rows: number[]): Promise<ImportDone>;
  dropImport(): Promise<void>;
  /** Writes all connections or `only` these to a file; with secrets when there is a passphrase to seal them under. */
  exportConnections(
    path: string,
    only: ProfileId[] | null,
    passphrase: string | null,
  ): Promise<ExportSummary>;

  // Their secrets
  /** Which secrets are set, and where they are kept. Their values never come back. */
  secretsSet(id: ProfileId): Promise<StoredSecret[]>;
  /** Sets or clears secrets of a saved connection; the answer to `secret_needed`. */
  setSecrets(id: ProfileId, secrets: SecretEdit[]): Promise<void>;
  inspectFile(path: string): Promise<FileReport>;

  // Certificates
  /** Every certificate in use or added by hand; reads the files. */
  certificateLibrary(): Promise<LibraryCertificate[]>;
  addCertificateFiles(paths: string[]): Promise<void>;
  /** Takes certificates (never keys) from PEM text; answers with the path of the file made for them. */
  addCertificateText(text: string): Promise<string>;
  /** Keeps a certificate, DER in base64, as a file that a connection can name; answers with its path. */
  keepCertificate(derBase64: string): Promise<string>;
  forgetCertificate(path: string): Promise<void>;
  /** Answers with the connections that were changed. */
  replaceCertificate(change: CertificateReplacement): Promise<ProfileId[]>;
  /**
   * Takes the key of a client certificate into the vault; answers with what a connection names to use it. The
   * passphrase is the one among `secrets`, else that of the connection `of`.
   */
  importIdentity(
    certificate: ClientCertificate,
    of: ProfileId | null,
    secrets: SecretEdit[],
  ): Promise<ClientCertificate>;
  /** Writes an imported identity to a PKCS #12 file that opens with this passphrase. */
  exportIdentity(certificate: ClientCertificate, path: string, passphrase: string): Promise<void>;
  /** What is on the tokens of a PKCS #11 library; those called `token` are logged in to when there is a PIN. */
  tokenKeys(module: string, token: string, of: ProfileId, secrets: SecretEdit[]): Promise<TokenReport[]>;
  /** The development CA, which is the local broker's too; null before it was made. */
  developmentCa(): Promise<DevelopmentCa | null>;
  createDevelopmentCa(name: string, days: number): Promise<DevelopmentCa>;
  issueCertificate(request: CertificateRequest, passphrase: string | null): Promise<IssuedCertificate>;

  // The vault of secrets
  vaultStatus(): Promise<VaultStatus>;
  /** Tries to reach the keyring, which may ask the person, and to open the vault with it. */
  checkVault(): Promise<VaultStatus>;
  unlockVault(passphrase: string): Promise<VaultStatus>;
  lockVault(): Promise<VaultStatus>;
  /** Keeps secrets somewhere else from now on; the passphrase is for a vault that opens with one. */
  chooseVault(keep: Keep, passphrase: string | null): Promise<VaultStatus>;
  changeVaultPassphrase(current: string, next: string): Promise<VaultStatus>;
  /** Minutes without use; 0 is never. */
  setVaultAutoLock(minutes: number): Promise<VaultStatus>;
  /** Sets a vault aside that cannot be opened any more, so that a new one can begin. */
  startNewVault(): Promise<VaultStatus>;

  // Connections
  connections(): Promise<ConnectionStatus[]>;
  /** Makes a saved connection known before it ever connects: its stored rows and subscriptions. */
  openConnection(id: ProfileId): Promise<ConnectionStatus>;
  connect(id: ProfileId): Promise<void>;
  disconnect(id: ProfileId): Promise<void>;
  retryNow(id: ProfileId): Promise<void>;
  stopRetrying(id: ProfileId): Promise<void>;
  /** One attempt with the draft as it stands; its trace also arrives by events while it runs. */
  testConnection(draft: ProfileDraft, secrets: SecretEdit[]): Promise<Trace>;
  cancelTest(id: ProfileId): Promise<void>;
  /** Finds out what the draft's port speaks, without credentials of the broker. Only when a person asks. */
  probe(draft: ProfileDraft, secrets: SecretEdit[]): Promise<ProbeReport>;
  cancelProbe(id: ProfileId): Promise<void>;
  /** The latest attempts, newest first. */
  traces(id: ProfileId): Promise<Trace[]>;
  /** Adds or replaces (same filter) a subscription of the profile, and sends it when connected. */
  saveSubscription(id: ProfileId, subscription: Subscription): Promise<SubscriptionState>;
  deleteSubscription(id: ProfileId, filter: string): Promise<void>;
  publish(id: ProfileId, request: PublishRequest): Promise<PublishOutcome>;

  // Messages
  openView(id: ProfileId, filter: RowFilter): Promise<OpenView>;
  closeView(view: number): Promise<void>;
  /** Ends the search of a view where it is, or goes on with it. */
  stopSearch(view: number, stopped: boolean): Promise<void>;
  page(view: number, start: number, limit: number): Promise<Page>;
  /** Where the first row from a moment on stands: microseconds since the Unix epoch. */
  indexAt(view: number, time: number): Promise<number>;
  /** How much is kept of messages. */
  keeping(): Promise<Keeping>;
  setKeeping(keeping: Keeping): Promise<void>;
  /** The newest rows, without those up to the number `after`. */
  tail(view: number, limit: number, after: number | null): Promise<Page>;
  /** Where a row stands in a view, or null when the filter hides it. */
  indexOf(view: number, seq: number): Promise<number | null>;
  messageDetail(id: ProfileId, seq: number): Promise<MessageDetail>;
  /** At most `limit` bytes from `offset` on. */
  messagePayload(id: ProfileId, seq: number, offset: number, limit: number): Promise<Uint8Array>;
  /** Writes the whole payload to a file and says how many bytes. */
  saveMessagePayload(id: ProfileId, seq: number, path: string): Promise<number>;
  /** Pins a stored message, so that no limit lets go of it, or takes the pin away. */
  pinMessage(id: ProfileId, seq: number, pinned: boolean): Promise<void>;
  /** Compares two payloads of any size, in the engine. */
  comparePayloads(id: ProfileId, a: number, b: number): Promise<Comparison>;
  /** The first difference from an offset on, or the last that begins before it. */
  findDifference(
    id: ProfileId,
    a: number,
    b: number,
    offset: number,
    backwards: boolean,
  ): Promise<Difference | null>;
  /** Deletes all stored rows of a profile and says how many. */
  clearHistory(id: ProfileId): Promise<number>;

  // Messages into files and back. What begins is told by events, and how it ends.
  /** Begins to write the stored messages that the filter lets through. */
  exportMessages(id: ProfileId, filter: RowFilter, format: RecordingFormat, path: string): Promise<number>;
  /** Begins to write what arrives from now on, until it is stopped. */
  recordMessages(id: ProfileId, path: string): Promise<number>;
  /** Begins to take the messages of a file into a new connection, which is answered. */
  importMessages(id: ProfileId, path: string): Promise<ProfileId>;
  /** Begins to publish the messages of a file. */
  replayFile(id: ProfileId, path: string, options: ReplayOptions): Promise<number>;
  transfers(): Promise<TransferStatus[]>;
  /** Holds a replay, or lets it go on. */
  pauseTransfer(transfer: number, paused: boolean): Promise<void>;
  stopTransfer(transfer: number): Promise<void>;

  // The local broker
  brokerStatus(): Promise<BrokerStatus>;
  startBroker(options: BrokerOptions, password: string | null): Promise<BrokerStatus>;
  stopBroker(): Promise<BrokerStatus>;
  /** Gives a connection to the local broker the broker's password. */
  lendBrokerPassword(id: ProfileId): Promise<void>;

  // The window
  appInfo(): Promise<AppInfo>;
  /** Drafts, sizes and settings that outlive the window; never secrets. */
  value<T>(key: string): Promise<T | null>;
  setValue(key: string, value: unknown): Promise<void>;
  writeTextFile(path: string, text: string): Promise<void>;
  pickFile(question: FileQuestion): Promise<string | null>;
  pickSavePath(question: FileQuestion): Promise<string | null>;
  copyText(text: string): Promise<void>;
  onFileDrag(listener: (drag: FileDrag) => void): () => void;
  onEvent(listener: (event: EngineEvent) => void): () => void;
  /** Closes the window as its own button does. */
  closeWindow(): Promise<void>;
  /** The window is about to close, and waits a moment for what the listener still has to write. */
  onClosing(listener: () => Promise<void>): () => void;
}

/** The engine behind this window. */
export const backend: Backend = tauri;

/** What a rejected call carries, whatever was thrown. */
export function asEngineError(thrown: unknown): EngineError {
  if (typeof thrown === "object" && thrown !== null && "code" in thrown && "message" in thrown) {
    return thrown as EngineError;
  }
  return { code: "internal", message: String(thrown), details: {} };
}

export type { EngineError };
