/** The backend as the Tauri shell offers it: one command a method. */
import { invoke } from "@tauri-apps/api/core";
import { listen } from "@tauri-apps/api/event";
import { getCurrentWebview } from "@tauri-apps/api/webview";
import { open, save } from "@tauri-apps/plugin-dialog";
import type { Backend } from "./index";
import type { EngineEvent } from "./types/EngineEvent";

/** Turns a promise of an "unlisten" into an "unlisten" that can be called at once. */
function detach(pending: Promise<() => void>): () => void {
  return () => void pending.then((stop) => stop());
}

/** Drags are told in physical pixels on Windows, and in CSS pixels elsewhere, whatever Tauri calls them. */
const DRAG_SCALE = navigator.userAgent.includes("Windows") ? window.devicePixelRatio : 1;

export const tauri: Backend = {
  start: () => invoke("start"),
  libraryTree: () => invoke("library_tree"),
  profile: (id) => invoke("profile", { id }),
  newDraft: () => invoke("new_draft"),
  checkDraft: (draft, secrets) => invoke("check_draft", { draft, secrets }),
  parseEndpoint: (text, fallback) => invoke("parse_endpoint", { text, fallback }),
  saveProfile: (draft, folder, secrets) => invoke("save_profile", { draft, folder, secrets }),
  renameProfile: (id, name) => invoke("rename_profile", { id, name }),
  duplicateProfile: (id) => invoke("duplicate_profile", { id }),
  deleteProfile: (id) => invoke("delete_profile", { id }),
  restoreProfile: (id) => invoke("restore_profile", { id }),
  damagedProfile: (id) => invoke("damaged_profile", { id }),
  moveProfile: (id, folder, index) => invoke("move_profile", { id, folder, index }),
  createFolder: (name) => invoke("create_folder", { name }),
  renameFolder: (id, name) => invoke("rename_folder", { id, name }),
  deleteFolder: (id) => invoke("delete_folder", { id }),
  restoreFolder: (id) => invoke("restore_folder", { id }),
  collapseFolder: (id, collapsed) => invoke("collapse_folder", { id, collapsed }),
  moveFolder: (id, index) => invoke("move_folder", { id, index }),
  previewImport: (input, passphrase) => invoke("preview_import", { input, passphrase }),
  applyImport: (plan, rows) => invoke("apply_import", { plan, rows }),
  dropImport: () => invoke("drop_import"),
  exportConnections: (path, only, passphrase) => invoke("export_connections", { path, only, passphrase }),
  secretsSet: (id) => invoke("secrets_set", { id }),
  setSecrets: (id, secrets) => invoke("set_secrets", { id, secrets }),
  inspectFile: (path) => invoke("inspect_file", { path }),

  certificateLibrary: () => invoke("certificate_library"),
  addCertificateFiles: (paths) => invoke("add_certificate_files", { paths }),
  addCertificateText: (text) => invoke("add_certificate_text", { text }),
  keepCertificate: (derBase64) => invoke("keep_certificate", { derBase64 }),
  forgetCertificate: (path) => invoke("forget_certificate", { path }),
  replaceCertificate: (change) => invoke("replace_certificate", { change }),
  importIdentity: (certificate, of, secrets) => invoke("import_identity", { certificate, of, secrets }),
  exportIdentity: (certificate, path, passphrase) =>
    invoke("export_identity", { certificate, path, passphrase }),
  tokenKeys: (module, token, of, secrets) => invoke("token_keys", { module, token, of, secrets }),
  developmentCa: () => invoke("development_ca"),
  createDevelopmentCa: (name, days) => invoke("create_development_ca", { name, days }),
  issueCertificate: (request, passphrase) => invoke("issue_certificate", { request, passphrase }),

  vaultStatus: () => invoke("vault_status"),
  checkVault: () => invoke("check_vault"),
  unlockVault: (passphrase) => invoke("unlock_vault", { passphrase }),
  lockVault: () => invoke("lock_vault"),
  chooseVault: (keep, passphrase) => invoke("choose_vault", { keep, passphrase }),
  changeVaultPassphrase: (current, next) => invoke("change_vault_passphrase", { current, next }),
  setVaultAutoLock: (minutes) => invoke("set_vault_auto_lock", { minutes }),
  startNewVault: () => invoke("start_new_vault"),

  connections: () => invoke("connections"),
  openConnection: (id) => invoke("open_connection", { id }),
  connect: (id) => invoke("connect", { id }),
  disconnect: (id) => invoke("disconnect", { id }),
  retryNow: (id) => invoke("retry_now", { id }),
  stopRetrying: (id) => invoke("stop_retrying", { id }),
  testConnection: (draft, secrets) => invoke("test_connection", { draft, secrets }),
  cancelTest: (id) => invoke("cancel_test", { id }),
  probe: (draft, secrets) => invoke("probe", { draft, secrets }),
  cancelProbe: (id) => invoke("cancel_probe", { id }),
  traces: (id) => invoke("traces", { id }),
  saveSubscription: (id, subscription) => invoke("save_subscription", { id, subscription }),
  deleteSubscription: (id, filter) => invoke("delete_subscription", { id, filter }),
  publish: (id, request) => invoke("publish", { id, request }),

  openView: (id, filter) => invoke("open_view", { id, filter }),
  closeView: (view) => invoke("close_view", { view }),
  stopSearch: (view, stopped) => invoke("stop_search", { view, stopped }),
  page: (view, start, limit) => invoke("page", { view, start, limit }),
  indexAt: (view, time) => invoke("index_at", { view, time }),
  keeping: () => invoke("keeping"),
  setKeeping: (keeping) => invoke("set_keeping", { keeping }),
  tail: (view, limit, after) => invoke("tail", { view, limit, after }),
  indexOf: (view, seq) => invoke("index_of", { view, seq }),
  messageDetail: (id, seq) => invoke("message_detail", { id, seq }),
  messagePayload: async (id, seq, offset, limit) =>
    new Uint8Array(await invoke<ArrayBuffer>("message_payload", { id, seq, offset, limit })),
  saveMessagePayload: (id, seq, path) => invoke("save_message_payload", { id, seq, path }),
  pinMessage: (id, seq, pinned) => invoke("pin_message", { id, seq, pinned }),
  comparePayloads: (id, a, b) => invoke("compare_payloads", { id, a, b }),
  findDifference: (id, a, b, offset, backwards) => invoke("find_difference", { id, a, b, offset, backwards }),
  clearHistory: (id) => invoke("clear_history", { id }),

  exportMessages: (id, filter, format, path) => invoke("export_messages", { id, filter, format, path }),
  recordMessages: (id, path) => invoke("record_messages", { id, path }),
  importMessages: (id, path) => invoke("import_messages", { id, path }),
  replayFile: (id, path, options) => invoke("replay_file", { id, path, options }),
  transfers: () => invoke("transfers"),
  pauseTransfer: (transfer, paused) => invoke("pause_transfer", { transfer, paused }),
  stopTransfer: (transfer) => invoke("stop_transfer", { transfer }),

  brokerStatus: () => invoke("broker_status"),
  startBroker: (options, password) => invoke("start_broker", { options, password }),
  stopBroker: () => invoke("stop_broker"),
  lendBrokerPassword: (id) => invoke("lend_broker_password", { id }),

  appInfo: () => invoke("app_info"),
  value: (key) => invoke("value", { key }),
  setValue: (key, value) => invoke("set_value", { key, value }),
  writeTextFile: (path, text) => invoke("write_text_file", { path, text }),
  pickFile: ({ title, filters, defaultPath }) =>
    open({ title, filters, defaultPath, multiple: false, directory: false }),
  pickSavePath: ({ title, filters, defaultPath }) => save({ title, filters, defaultPath }),
  copyText: (text) => invoke("copy_text", { text }),
  onFileDrag: (listener) =>
    detach(
      getCurrentWebview().onDragDropEvent(({ payload }) => {
        if (payload.type === "leave") return listener({ kind: "leave" });
        const x = payload.position.x / DRAG_SCALE;
        const y = payload.position.y / DRAG_SCALE;
        if (payload.type !== "drop") return listener({ kind: "over", x, y });
        // What is dragged out of a browser is an address, which comes as if it were a path.
        const paths = payload.paths.filter((path) => !/^[a-z][a-z0-9+.-]+:\/\//i.test(path));
        listener(paths.length > 0 ? { kind: "drop", x, y, paths } : { kind: "leave" });
      }),
    ),
  closeWindow: () => invoke("close_window"),
  onClosing: (listener) =>
    detach(listen("closing", () => void listener().finally(() => invoke("leave_window")))),
  onEvent: (listener) =>
    detach(
      listen<EngineEvent>("engine", ({ payload }) => listener(payload)).then(async (stop) => {
        await invoke("listening");
        return stop;
      }),
    ),
};
