//! The window's commands: deserialise, call, hand back. One line each; what they mean stands in the engine.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use heliograph_engine::broker::{
    BrokerOptions, BrokerStatus, CertificateRequest, DevelopmentCa, IssuedCertificate,
};
use heliograph_engine::endpoint::Scheme;
use heliograph_engine::engine::{
    AppInfo, CertificateReplacement, ConnectionStatus, DraftReport, Engine, FileReport, ImportInput, Keeping,
    LibraryCertificate, OpenView, ParsedEndpoint, PublishRequest, TransferId, TransferStatus,
};
use heliograph_engine::error::{Error, ErrorCode, Result};
use heliograph_engine::export::ExportSummary;
use heliograph_engine::history::{Comparison, Difference, MessageDetail, Page, RowFilter, Seq, ViewId};
use heliograph_engine::identity::token::TokenReport;
use heliograph_engine::import::{ImportDone, ImportPreview};
use heliograph_engine::library::{Folder, FolderId, LibraryTree};
use heliograph_engine::message::UnixMicros;
use heliograph_engine::probe::ProbeReport;
use heliograph_engine::profile::{ClientCertificate, Profile, ProfileDraft, ProfileId, Subscription};
use heliograph_engine::recording::RecordingFormat;
use heliograph_engine::replay::ReplayOptions;
use heliograph_engine::secret::{Secret, SecretEdit, SecretText};
use heliograph_engine::session::{PublishOutcome, SubscriptionState};
use heliograph_engine::trace::Trace;
use heliograph_engine::vault::{Keep, StoredSecret, VaultStatus};
use serde_json::Value;
use tauri::ipc::{Invoke, Response};
use tauri::{State, Window, Wry};

use crate::events::Listening;
use crate::start::Start;

/// Every command that the window may call; `permissions/engine.toml` lists the same names.
pub fn handler() -> impl Fn(Invoke<Wry>) -> bool + Send + Sync + 'static {
    tauri::generate_handler![
        start,
        library_tree,
        profile,
        new_draft,
        check_draft,
        parse_endpoint,
        save_profile,
        rename_profile,
        duplicate_profile,
        delete_profile,
        restore_profile,
        damaged_profile,
        move_profile,
        create_folder,
        rename_folder,
        delete_folder,
        restore_folder,
        collapse_folder,
        move_folder,
        preview_import,
        apply_import,
        drop_import,
        export_connections,
        secrets_set,
        set_secrets,
        vault_status,
        check_vault,
        unlock_vault,
        lock_vault,
        choose_vault,
        change_vault_passphrase,
        set_vault_auto_lock,
        start_new_vault,
        inspect_file,
        certificate_library,
        add_certificate_files,
        add_certificate_text,
        keep_certificate,
        forget_certificate,
        replace_certificate,
        import_identity,
        export_identity,
        token_keys,
        development_ca,
        create_development_ca,
        issue_certificate,
        connections,
        open_connection,
        connect,
        disconnect,
        retry_now,
        stop_retrying,
        test_connection,
        cancel_test,
        probe,
        cancel_probe,
        traces,
        save_subscription,
        delete_subscription,
        publish,
        open_view,
        close_view,
        stop_search,
        page,
        tail,
        index_at,
        keeping,
        set_keeping,
        index_of,
        message_detail,
        save_message_payload,
        pin_message,
        compare_payloads,
        find_difference,
        clear_history,
        export_messages,
        record_messages,
        import_messages,
        replay_file,
        transfers,
        pause_transfer,
        stop_transfer,
        broker_status,
        start_broker,
        stop_broker,
        lend_broker_password,
        app_info,
        value,
        set_value,
        message_payload,
        write_text_file,
        copy_text,
        listening,
        close_window,
        leave_window,
    ]
}

/// The first call of the window: waits until the engine is open, or says why it is not.
#[tauri::command]
async fn start(app: tauri::AppHandle, start: State<'_, Start>) -> Result<()> {
    start.engine(&app).await
}

#[tauri::command]
async fn library_tree(engine: State<'_, Engine>) -> Result<LibraryTree> {
    engine.library_tree()
}

#[tauri::command]
async fn profile(engine: State<'_, Engine>, id: ProfileId) -> Result<Profile> {
    engine.profile(id)
}

#[tauri::command]
async fn new_draft(engine: State<'_, Engine>) -> Result<ProfileDraft> {
    Ok(engine.new_draft())
}

#[tauri::command]
async fn check_draft(
    engine: State<'_, Engine>,
    draft: ProfileDraft,
    secrets: Vec<SecretEdit>,
) -> Result<DraftReport> {
    engine.check_draft(draft, secrets).await
}

#[tauri::command]
async fn parse_endpoint(engine: State<'_, Engine>, text: String, fallback: Scheme) -> Result<ParsedEndpoint> {
    engine.parse_endpoint(&text, fallback)
}

#[tauri::command]
async fn save_profile(
    engine: State<'_, Engine>,
    draft: ProfileDraft,
    folder: Option<FolderId>,
    secrets: Vec<SecretEdit>,
) -> Result<Profile> {
    engine.save_profile(draft, folder, secrets).await
}

#[tauri::command]
async fn rename_profile(engine: State<'_, Engine>, id: ProfileId, name: String) -> Result<()> {
    engine.rename_profile(id, &name)
}

#[tauri::command]
async fn duplicate_profile(engine: State<'_, Engine>, id: ProfileId) -> Result<Profile> {
    engine.duplicate_profile(id).await
}

#[tauri::command]
async fn delete_profile(engine: State<'_, Engine>, id: ProfileId) -> Result<()> {
    engine.delete_profile(id).await
}

#[tauri::command]
async fn restore_profile(engine: State<'_, Engine>, id: ProfileId) -> Result<()> {
    engine.restore_profile(id)
}

#[tauri::command]
async fn damaged_profile(engine: State<'_, Engine>, id: String) -> Result<String> {
    engine.damaged_profile(&id)
}

#[tauri::command]
async fn move_profile(
    engine: State<'_, Engine>,
    id: ProfileId,
    folder: Option<FolderId>,
    index: usize,
) -> Result<()> {
    engine.move_profile(id, folder, index)
}

#[tauri::command]
async fn create_folder(engine: State<'_, Engine>, name: String) -> Result<Folder> {
    engine.create_folder(&name)
}

#[tauri::command]
async fn rename_folder(engine: State<'_, Engine>, id: FolderId, name: String) -> Result<()> {
    engine.rename_folder(id, &name)
}

#[tauri::command]
async fn delete_folder(engine: State<'_, Engine>, id: FolderId) -> Result<()> {
    engine.delete_folder(id)
}

#[tauri::command]
async fn restore_folder(engine: State<'_, Engine>, id: FolderId) -> Result<()> {
    engine.restore_folder(id)
}

#[tauri::command]
async fn collapse_folder(engine: State<'_, Engine>, id: FolderId, collapsed: bool) -> Result<()> {
    engine.collapse_folder(id, collapsed)
}

#[tauri::command]
async fn move_folder(engine: State<'_, Engine>, id: FolderId, index: usize) -> Result<()> {
    engine.move_folder(id, index)
}

#[tauri::command]
async fn preview_import(
    engine: State<'_, Engine>,
    input: ImportInput,
    passphrase: Option<SecretText>,
) -> Result<ImportPreview> {
    engine.preview_import(input, passphrase.map(Secret::from)).await
}

#[tauri::command]
async fn apply_import(engine: State<'_, Engine>, plan: u64, rows: Vec<u32>) -> Result<ImportDone> {
    engine.apply_import(plan, rows).await
}

#[tauri::command]
async fn drop_import(engine: State<'_, Engine>) -> Result<()> {
    engine.drop_import();
    Ok(())
}

#[tauri::command]
async fn export_connections(
    engine: State<'_, Engine>,
    path: String,
    only: Option<Vec<ProfileId>>,
    passphrase: Option<SecretText>,
) -> Result<ExportSummary> {
    engine.export_connections(path, only, passphrase.map(Secret::from)).await
}

#[tauri::command]
async fn secrets_set(engine: State<'_, Engine>, id: ProfileId) -> Result<Vec<StoredSecret>> {
    engine.secrets_set(id).await
}

#[tauri::command]
async fn set_secrets(engine: State<'_, Engine>, id: ProfileId, secrets: Vec<SecretEdit>) -> Result<()> {
    engine.set_secrets(id, secrets).await
}

#[tauri::command]
async fn vault_status(engine: State<'_, Engine>) -> Result<VaultStatus> {
    engine.vault_status().await
}

#[tauri::command]
async fn check_vault(engine: State<'_, Engine>) -> Result<VaultStatus> {
    engine.check_vault().await
}

#[tauri::command]
async fn unlock_vault(engine: State<'_, Engine>, passphrase: SecretText) -> Result<VaultStatus> {
    engine.unlock_vault(passphrase.into()).await
}

#[tauri::command]
async fn lock_vault(engine: State<'_, Engine>) -> Result<VaultStatus> {
    engine.lock_vault().await
}

#[tauri::command]
async fn choose_vault(
    engine: State<'_, Engine>,
    keep: Keep,
    passphrase: Option<SecretText>,
) -> Result<VaultStatus> {
    engine.choose_vault(keep, passphrase.map(Secret::from)).await
}

#[tauri::command]
async fn change_vault_passphrase(
    engine: State<'_, Engine>,
    current: SecretText,
    next: SecretText,
) -> Result<VaultStatus> {
    engine.change_vault_passphrase(current.into(), next.into()).await
}

#[tauri::command]
async fn set_vault_auto_lock(engine: State<'_, Engine>, minutes: u32) -> Result<VaultStatus> {
    engine.set_vault_auto_lock(minutes).await
}

#[tauri::command]
async fn start_new_vault(engine: State<'_, Engine>) -> Result<VaultStatus> {
    engine.start_new_vault().await
}

#[tauri::command]
async fn inspect_file(engine: State<'_, Engine>, path: String) -> Result<FileReport> {
    engine.inspect_file(path).await
}

#[tauri::command]
async fn certificate_library(engine: State<'_, Engine>) -> Result<Vec<LibraryCertificate>> {
    engine.certificate_library().await
}

#[tauri::command]
async fn add_certificate_files(engine: State<'_, Engine>, paths: Vec<String>) -> Result<()> {
    engine.add_certificate_files(paths).await
}

#[tauri::command]
async fn add_certificate_text(engine: State<'_, Engine>, text: String) -> Result<String> {
    engine.add_certificate_text(text).await
}

#[tauri::command]
async fn keep_certificate(engine: State<'_, Engine>, der_base64: String) -> Result<String> {
    engine.keep_certificate(&der_base64).await
}

#[tauri::command]
async fn forget_certificate(engine: State<'_, Engine>, path: String) -> Result<()> {
    engine.forget_certificate(&path).await
}

#[tauri::command]
async fn replace_certificate(
    engine: State<'_, Engine>,
    change: CertificateReplacement,
) -> Result<Vec<ProfileId>> {
    engine.replace_certificate(&change)
}

#[tauri::command]
async fn import_identity(
    engine: State<'_, Engine>,
    certificate: ClientCertificate,
    of: Option<ProfileId>,
    secrets: Vec<SecretEdit>,
) -> Result<ClientCertificate> {
    engine.import_identity(certificate, of, secrets).await
}

#[tauri::command]
async fn export_identity(
    engine: State<'_, Engine>,
    certificate: ClientCertificate,
    path: String,
    passphrase: SecretText,
) -> Result<()> {
    engine.export_identity(certificate, path, passphrase.into()).await
}

#[tauri::command]
async fn token_keys(
    engine: State<'_, Engine>,
    module: String,
    token: String,
    of: ProfileId,
    secrets: Vec<SecretEdit>,
) -> Result<Vec<TokenReport>> {
    engine.token_keys(module, token, of, secrets).await
}

#[tauri::command]
async fn development_ca(engine: State<'_, Engine>) -> Result<Option<DevelopmentCa>> {
    engine.development_ca().await
}

#[tauri::command]
async fn create_development_ca(engine: State<'_, Engine>, name: String, days: u32) -> Result<DevelopmentCa> {
    engine.create_development_ca(name, days).await
}

#[tauri::command]
async fn issue_certificate(
    engine: State<'_, Engine>,
    request: CertificateRequest,
    passphrase: Option<String>,
) -> Result<IssuedCertificate> {
    engine.issue_certificate(request, passphrase.map(Secret::new)).await
}

#[tauri::command]
async fn connections(engine: State<'_, Engine>) -> Result<Vec<ConnectionStatus>> {
    Ok(engine.connections())
}

#[tauri::command]
async fn open_connection(engine: State<'_, Engine>, id: ProfileId) -> Result<ConnectionStatus> {
    engine.open_connection(id)
}

#[tauri::command]
async fn connect(engine: State<'_, Engine>, id: ProfileId) -> Result<()> {
    engine.connect(id).await
}

#[tauri::command]
async fn disconnect(engine: State<'_, Engine>, id: ProfileId) -> Result<()> {
    engine.disconnect(id).await
}

#[tauri::command]
async fn retry_now(engine: State<'_, Engine>, id: ProfileId) -> Result<()> {
    engine.retry_now(id)
}

#[tauri::command]
async fn stop_retrying(engine: State<'_, Engine>, id: ProfileId) -> Result<()> {
    engine.stop_retrying(id)
}

#[tauri::command]
async fn test_connection(
    engine: State<'_, Engine>,
    draft: ProfileDraft,
    secrets: Vec<SecretEdit>,
) -> Result<Trace> {
    engine.test_connection(draft, secrets).await
}

#[tauri::command]
async fn cancel_test(engine: State<'_, Engine>, id: ProfileId) -> Result<()> {
    engine.cancel_test(id);
    Ok(())
}

#[tauri::command]
async fn probe(
    engine: State<'_, Engine>,
    draft: ProfileDraft,
    secrets: Vec<SecretEdit>,
) -> Result<ProbeReport> {
    engine.probe(draft, secrets).await
}

#[tauri::command]
async fn cancel_probe(engine: State<'_, Engine>, id: ProfileId) -> Result<()> {
    engine.cancel_probe(id);
    Ok(())
}

#[tauri::command]
async fn traces(engine: State<'_, Engine>, id: ProfileId) -> Result<Vec<Trace>> {
    engine.traces(id).await
}

#[tauri::command]
async fn save_subscription(
    engine: State<'_, Engine>,
    id: ProfileId,
    subscription: Subscription,
) -> Result<SubscriptionState> {
    engine.save_subscription(id, subscription).await
}

#[tauri::command]
async fn delete_subscription(engine: State<'_, Engine>, id: ProfileId, filter: String) -> Result<()> {
    engine.delete_subscription(id, &filter).await
}

#[tauri::command]
async fn publish(
    engine: State<'_, Engine>,
    id: ProfileId,
    request: PublishRequest,
) -> Result<PublishOutcome> {
    engine.publish(id, request).await
}

#[tauri::command]
async fn open_view(engine: State<'_, Engine>, id: ProfileId, filter: RowFilter) -> Result<OpenView> {
    engine.open_view(id, filter).await
}

#[tauri::command]
async fn close_view(engine: State<'_, Engine>, view: ViewId) -> Result<()> {
    engine.close_view(view);
    Ok(())
}

#[tauri::command]
async fn stop_search(engine: State<'_, Engine>, view: ViewId, stopped: bool) -> Result<()> {
    engine.stop_search(view, stopped)
}

#[tauri::command]
async fn page(engine: State<'_, Engine>, view: ViewId, start: u64, limit: u32) -> Result<Page> {
    engine.page(view, start, limit).await
}

#[tauri::command]
async fn index_at(engine: State<'_, Engine>, view: ViewId, time: UnixMicros) -> Result<u64> {
    engine.index_at(view, time).await
}

#[tauri::command]
async fn keeping(engine: State<'_, Engine>) -> Result<Keeping> {
    engine.keeping()
}

#[tauri::command]
async fn set_keeping(engine: State<'_, Engine>, keeping: Keeping) -> Result<()> {
    engine.set_keeping(keeping)
}

#[tauri::command]
async fn tail(engine: State<'_, Engine>, view: ViewId, limit: u32, after: Option<Seq>) -> Result<Page> {
    engine.tail(view, limit, after).await
}

#[tauri::command]
async fn index_of(engine: State<'_, Engine>, view: ViewId, seq: Seq) -> Result<Option<u64>> {
    engine.index_of(view, seq).await
}

#[tauri::command]
async fn message_detail(engine: State<'_, Engine>, id: ProfileId, seq: Seq) -> Result<MessageDetail> {
    engine.message_detail(id, seq).await
}

#[tauri::command]
async fn save_message_payload(
    engine: State<'_, Engine>,
    id: ProfileId,
    seq: Seq,
    path: PathBuf,
) -> Result<u64> {
    engine.save_message_payload(id, seq, &path).await
}

#[tauri::command]
async fn pin_message(engine: State<'_, Engine>, id: ProfileId, seq: Seq, pinned: bool) -> Result<()> {
    engine.pin_message(id, seq, pinned).await
}

#[tauri::command]
async fn compare_payloads(engine: State<'_, Engine>, id: ProfileId, a: Seq, b: Seq) -> Result<Comparison> {
    engine.compare_payloads(id, a, b).await
}

#[tauri::command]
async fn find_difference(
    engine: State<'_, Engine>,
    id: ProfileId,
    a: Seq,
    b: Seq,
    offset: u64,
    backwards: bool,
) -> Result<Option<Difference>> {
    engine.find_difference(id, a, b, offset, backwards).await
}

#[tauri::command]
async fn clear_history(engine: State<'_, Engine>, id: ProfileId) -> Result<u64> {
    engine.clear_history(id).await
}

#[tauri::command]
async fn export_messages(
    engine: State<'_, Engine>,
    id: ProfileId,
    filter: RowFilter,
    format: RecordingFormat,
    path: PathBuf,
) -> Result<TransferId> {
    engine.export_messages(id, filter, format, &path)
}

#[tauri::command]
async fn record_messages(engine: State<'_, Engine>, id: ProfileId, path: PathBuf) -> Result<TransferId> {
    engine.record_messages(id, &path).await
}

#[tauri::command]
async fn import_messages(engine: State<'_, Engine>, id: ProfileId, path: PathBuf) -> Result<ProfileId> {
    engine.import_messages(id, &path).await
}

#[tauri::command]
async fn replay_file(
    engine: State<'_, Engine>,
    id: ProfileId,
    path: PathBuf,
    options: ReplayOptions,
) -> Result<TransferId> {
    engine.replay_file(id, &path, options)
}

#[tauri::command]
async fn transfers(engine: State<'_, Engine>) -> Result<Vec<TransferStatus>> {
    Ok(engine.transfers())
}

#[tauri::command]
async fn pause_transfer(engine: State<'_, Engine>, transfer: TransferId, paused: bool) -> Result<()> {
    engine.pause_transfer(transfer, paused);
    Ok(())
}

#[tauri::command]
async fn stop_transfer(engine: State<'_, Engine>, transfer: TransferId) -> Result<()> {
    engine.stop_transfer(transfer);
    Ok(())
}

#[tauri::command]
async fn broker_status(engine: State<'_, Engine>) -> Result<BrokerStatus> {
    Ok(engine.broker_status().await)
}

#[tauri::command]
async fn start_broker(
    engine: State<'_, Engine>,
    options: BrokerOptions,
    password: Option<String>,
) -> Result<BrokerStatus> {
    engine.start_broker(options, password.map(Secret::new)).await
}

#[tauri::command]
async fn stop_broker(engine: State<'_, Engine>) -> Result<BrokerStatus> {
    engine.stop_broker().await
}

#[tauri::command]
async fn lend_broker_password(engine: State<'_, Engine>, id: ProfileId) -> Result<()> {
    engine.lend_broker_password(id).await
}

#[tauri::command]
async fn app_info(engine: State<'_, Engine>) -> Result<AppInfo> {
    Ok(engine.app_info())
}

#[tauri::command]
async fn value(engine: State<'_, Engine>, key: String) -> Result<Option<Value>> {
    engine.value(&key)
}

#[tauri::command]
async fn set_value(engine: State<'_, Engine>, key: String, value: Value) -> Result<()> {
    engine.set_value(&key, &value)
}

/// Raw bytes: a payload never travels as JSON.
#[tauri::command]
async fn message_payload(
    engine: State<'_, Engine>,
    id: ProfileId,
    seq: Seq,
    offset: u64,
    limit: u64,
) -> Result<Response> {
    Ok(Response::new(engine.message_payload(id, seq, offset, limit).await?))
}

/// Writes a report or an export to the file that the person chose in the dialog.
#[tauri::command]
async fn write_text_file(path: PathBuf, text: String) -> Result<()> {
    let write = move || heliograph_engine::whole_file::write(&path, text.as_bytes());
    tauri::async_runtime::spawn_blocking(write)
        .await
        .map_err(|error| Error::new(ErrorCode::Internal, error.to_string()))?
}

/// The system's clipboard, opened at first use. Kept, because under X11 the one who copied hands the text out.
#[derive(Default)]
pub struct Clipboard(Mutex<Option<arboard::Clipboard>>);

impl Clipboard {
    fn copy(&self, text: String) -> std::result::Result<(), arboard::Error> {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let clipboard = match &mut *opened {
            Some(clipboard) => clipboard,
            none => none.insert(arboard::Clipboard::new()?),
        };
        clipboard.set_text(text)
    }
}

#[tauri::command]
async fn copy_text(clipboard: State<'_, Clipboard>, text: String) -> Result<()> {
    clipboard.copy(text).map_err(|error| {
        Error::new(ErrorCode::Internal, format!("The system's clipboard cannot be used: {error}"))
    })
}

/// The window listens to events from now on.
#[tauri::command]
async fn listening(listening: State<'_, Listening>) -> Result<()> {
    listening.begin();
    Ok(())
}

/// Closes the window as its own button does: see `start::closing`.
#[tauri::command]
async fn close_window(window: Window) -> Result<()> {
    window.close().map_err(not_closed)
}

/// The window has written everything that it still had to.
#[tauri::command]
async fn leave_window(window: Window) -> Result<()> {
    window.destroy().map_err(not_closed)
}

fn not_closed(error: tauri::Error) -> Error {
    Error::new(ErrorCode::Internal, format!("The window cannot be closed: {error}"))
}
