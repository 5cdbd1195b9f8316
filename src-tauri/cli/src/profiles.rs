//! `helio profiles`: the saved connections, which the window has too. In: names. Out: lists, what was done;
//! exports and imports are [`transfer`]'s. Also finds the saved connection that `@NAME` means.

use std::fmt::Write as _;

use heliograph_engine::endpoint::Endpoint;
use heliograph_engine::error::ErrorCode;
use heliograph_engine::library::{FolderId, Library, LibraryTree, ProfileEntry};
use heliograph_engine::paths::{DATABASE, default_data_dir};
use heliograph_engine::profile::{Profile, ProfileId, ProxyKind, Retention, Settings, TrustMode};
use serde::Serialize;
use serde_json::json;
use unicode_width::UnicodeWidthStr as _;

use crate::args::ProfilesCommand;
use crate::failure::Ending;
use crate::output::{self, QUIET, printable};
use crate::transfer;

/// So much of an id tells connections apart in practice.
const SHORT_ID: usize = 8;
/// How many names an error lists.
const LISTED: usize = 12;

pub fn run(command: ProfilesCommand) -> Result<(), Ending> {
    let library = open()?;
    match command {
        ProfilesCommand::List { json } => list(&library.tree()?, json),
        ProfilesCommand::Show { name, json } => {
            let tree = library.tree()?;
            let entry = find(&tree, &name)?;
            show(&library.profile(entry.id)?, folder_name(&tree, entry.folder), json);
        }
        ProfilesCommand::Export(args) => transfer::export(&args)?,
        ProfilesCommand::Import(args) => transfer::import(&args)?,
        ProfilesCommand::Delete { names } => delete(&library, &names)?,
        ProfilesCommand::Restore { id } => restore(&library, ProfileId(id))?,
    }
    Ok(())
}

/// The library that the window has too.
pub fn open() -> Result<Library, Ending> {
    Ok(Library::open(&default_data_dir().join(DATABASE))?)
}

/// The saved connection that is meant: by name, by folder and name, by id or its beginning; whatever the case
/// where that leaves one. A leading `@` is allowed.
pub fn find<'a>(tree: &'a LibraryTree, text: &str) -> Result<&'a ProfileEntry, Ending> {
    let wanted = text.strip_prefix('@').unwrap_or(text);
    let by_id = |entry: &ProfileEntry| {
        let id = entry.id.to_string();
        let given = wanted.to_ascii_lowercase();
        id == given || (given.len() >= SHORT_ID && id.starts_with(&given))
    };
    let exact = |entry: &ProfileEntry| entry.name == wanted || path(tree, entry) == wanted;
    let lower = wanted.to_lowercase();
    let folded = |entry: &ProfileEntry| {
        entry.name.to_lowercase() == lower || path(tree, entry).to_lowercase() == lower
    };
    let rules: [&dyn Fn(&ProfileEntry) -> bool; 3] = [&exact, &by_id, &folded];
    for rule in rules {
        let found: Vec<_> = tree.profiles.iter().filter(|entry| rule(entry)).collect();
        match found[..] {
            [] => {}
            [one] => return Ok(one),
            _ => return Err(Ending::Usage(ambiguous(tree, wanted, &found))),
        }
    }
    if let Some(damaged) = tree.damaged.iter().find(|damaged| damaged.name == wanted || damaged.id == wanted)
    {
        let message = format!("The saved connection “{wanted}” cannot be read: {}", damaged.message);
        return Err(Ending::Other(message));
    }
    Err(Ending::Usage(unknown(tree, wanted)))
}

fn ambiguous(tree: &LibraryTree, wanted: &str, found: &[&ProfileEntry]) -> String {
    let paths: Vec<_> = found.iter().map(|entry| path(tree, entry)).collect();
    let unique = paths.iter().all(|path| paths.iter().filter(|other| *other == path).count() == 1);
    let how = if unique && paths.iter().all(|path| path != wanted) { "its folder" } else { "its id" };
    let mut text = format!(
        "“{wanted}” is the name of {} saved connections. Name the one you mean by {how}:",
        found.len()
    );
    let width = paths.iter().map(|path| path.width()).max().unwrap_or_default();
    for (entry, path) in found.iter().zip(&paths) {
        let _ = write!(text, "\n  @{}  {}  {}", padded(path, width), short(entry.id), entry.url);
    }
    text
}

fn unknown(tree: &LibraryTree, wanted: &str) -> String {
    if tree.profiles.is_empty() {
        return format!("There is no saved connection “{wanted}”, nor any other yet");
    }
    let names: Vec<_> = tree.profiles.iter().take(LISTED).map(|entry| path(tree, entry)).collect();
    let more = match tree.profiles.len() - names.len() {
        0 => String::new(),
        more => format!(" and {more} more (helio profiles list)"),
    };
    format!("There is no saved connection “{wanted}”. There are: {}{more}", names.join(", "))
}

/// `folder/name`, or the name alone at the top.
fn path(tree: &LibraryTree, entry: &ProfileEntry) -> String {
    match folder_name(tree, entry.folder) {
        Some(folder) => format!("{folder}/{}", entry.name),
        None => entry.name.clone(),
    }
}

fn folder_name(tree: &LibraryTree, id: Option<FolderId>) -> Option<&str> {
    tree.folders.iter().find(|folder| Some(folder.id) == id).map(|folder| folder.name.as_str())
}

fn short(id: ProfileId) -> String {
    id.to_string().chars().take(SHORT_ID).collect()
}

fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

fn list(tree: &LibraryTree, as_json: bool) {
    if as_json {
        for entry in &tree.profiles {
            let folder = folder_name(tree, entry.folder);
            output::line(
                &json!({
                    "id": entry.id, "name": entry.name, "folder": folder, "url": entry.url,
                    "scheme": entry.scheme, "login": entry.login,
                    "client_certificate": entry.client_certificate,
                })
                .to_string(),
            );
        }
    } else if tree.profiles.is_empty() && tree.folders.is_empty() {
        output::print_error(
            "There are no saved connections yet: make one in the window, or helio profiles import FILE\n",
        );
    } else {
        output::print(&table(tree));
    }
    for damaged in &tree.damaged {
        output::warn(&format!("{} ({}) cannot be read: {}", damaged.name, damaged.id, damaged.message));
    }
}

fn table(tree: &LibraryTree) -> String {
    let indent = |entry: &ProfileEntry| if entry.folder.is_some() { "  " } else { "" };
    let name = |entry: &ProfileEntry| format!("{}{}", indent(entry), printable(&entry.name));
    let widest = |of: &dyn Fn(&ProfileEntry) -> String| {
        tree.profiles.iter().map(|entry| of(entry).width()).max().unwrap_or_default()
    };
    let (names, urls) = (widest(&name), widest(&|entry| entry.url.clone()));
    let row = |entry: &ProfileEntry| {
        let login = match (entry.login, entry.client_certificate) {
            (true, true) => "login, certificate",
            (true, false) => "login",
            (false, true) => "certificate",
            (false, false) => "",
        };
        format!(
            "{}  {QUIET}{}{QUIET:#}  {}  {login}",
            padded(&name(entry), names),
            short(entry.id),
            padded(&printable(&entry.url), urls),
        )
        .trim_end()
        .to_owned()
            + "\n"
    };
    let mut text = String::new();
    let of = |folder: Option<FolderId>| tree.profiles.iter().filter(move |entry| entry.folder == folder);
    of(None).for_each(|entry| text.push_str(&row(entry)));
    for folder in &tree.folders {
        let empty = if of(Some(folder.id)).next().is_none() { " (empty)" } else { "" };
        let _ = writeln!(text, "{QUIET}{}/{empty}{QUIET:#}", printable(&folder.name));
        of(Some(folder.id)).for_each(|entry| text.push_str(&row(entry)));
    }
    text
}

fn show(profile: &Profile, folder: Option<&str>, as_json: bool) {
    if as_json {
        #[derive(Serialize)]
        struct Whole<'a> {
            id: ProfileId,
            name: &'a str,
            folder: Option<&'a str>,
            url: String,
            endpoint: &'a Endpoint,
            settings: &'a Settings,
        }
        let Profile { id, name, endpoint, settings } = profile;
        let whole = Whole { id: *id, name, folder, url: endpoint.url(), endpoint, settings };
        return output::line(&output::json(&whole));
    }
    let lines = describe(profile, folder);
    let width = lines.iter().map(|(label, _)| label.width()).max().unwrap_or_default();
    let mut text = String::new();
    for (label, value) in lines {
        let _ = writeln!(text, "{QUIET}{}{QUIET:#}  {}", padded(label, width), printable(&value));
    }
    output::print(&text);
}

/// What is switched on or was changed.
fn describe(profile: &Profile, folder: Option<&str>) -> Vec<(&'static str, String)> {
    let usual = Settings::default();
    let Settings {
        login,
        client_certificate,
        trust,
        tls,
        websocket,
        proxy,
        session,
        will,
        timing,
        subscriptions,
        retention,
    } = &profile.settings;
    let mut lines = vec![("name", profile.name.clone())];
    let mut add = |label, value: String| lines.push((label, value));
    if let Some(folder) = folder {
        add("folder", folder.to_owned());
    }
    add("id", profile.id.to_string());
    add("URL", profile.endpoint.url());
    if login.enabled {
        add("user name", login.username.clone());
    }
    if client_certificate.enabled {
        add("certificate", client_certificate.cert_file.clone());
        if !client_certificate.key_file.is_empty() {
            add("key", client_certificate.key_file.clone());
        }
    }
    if profile.endpoint.tls() {
        add(
            "trust",
            match trust.mode {
                TrustMode::System => "the system's roots".to_owned(),
                TrustMode::SystemAndCa => format!("the system's roots and {}", trust.ca_files.join(", ")),
                TrustMode::CaOnly => format!("only {}", trust.ca_files.join(", ")),
                TrustMode::Pinned => format!("only the certificate with SHA-256 {}", trust.pinned_sha256),
                TrustMode::Insecure => "INSECURE: anything".to_owned(),
            },
        );
        if !trust.verify_host_name {
            add("host name", "not verified".to_owned());
        }
        if !tls.server_name.is_empty() {
            add("SNI", tls.server_name.clone());
        }
        if !tls.alpn.is_empty() {
            add("ALPN", tls.alpn.join(", "));
        }
        if tls.min_version != usual.tls.min_version {
            add("lowest TLS", text_of(&tls.min_version));
        }
    }
    if profile.endpoint.websocket() {
        if websocket.subprotocol != usual.websocket.subprotocol {
            add("subprotocol", websocket.subprotocol.clone());
        }
        for header in &websocket.headers {
            let value = if header.secret { "(secret)" } else { &header.value };
            add("header", format!("{}: {value}", header.name));
        }
    }
    if proxy.kind != ProxyKind::None {
        let user = if proxy.username.is_empty() { String::new() } else { format!("{}@", proxy.username) };
        add("proxy", format!("{}://{user}{}:{}", text_of(&proxy.kind), proxy.host, proxy.port));
    }
    add("MQTT", text_of(&session.version));
    let chosen = Some(&session.client_id).filter(|id| !id.is_empty());
    add("client id", chosen.map_or_else(|| "(the broker chooses)".to_owned(), String::clone));
    if !session.clean_start {
        add("clean start", "no".to_owned());
    }
    if session.keep_alive_s != usual.session.keep_alive_s {
        add("keep alive", format!("{} s", session.keep_alive_s));
    }
    if let Some(seconds) = session.session_expiry_s {
        add("session expiry", format!("{seconds} s"));
    }
    if let Some(number) = session.receive_maximum {
        add("receive maximum", number.to_string());
    }
    if let Some(bytes) = session.maximum_packet_size {
        add("largest packet", output::count(bytes, "byte", "bytes"));
    }
    if let Some(number) = session.topic_alias_maximum {
        add("topic aliases", number.to_string());
    }
    for property in &session.user_properties {
        add("user property", format!("{}={}", property.name, property.value));
    }
    if will.enabled {
        let retain = if will.retain { ", retained" } else { "" };
        add("last will", format!("{} (QoS {}{retain})", will.topic, u8::from(will.qos)));
    }
    if timing.connect_timeout_s != usual.timing.connect_timeout_s {
        add("time bound", format!("{} s", timing.connect_timeout_s));
    }
    if let Some(Retention { max_bytes, max_rows, max_age_s }) = retention {
        let limits = [(max_bytes, "bytes"), (max_rows, "rows"), (max_age_s, "seconds")];
        let limits: Vec<_> =
            limits.iter().filter_map(|(most, of)| Some(format!("{} {of}", (**most)?))).collect();
        add("keeps", if limits.is_empty() { "everything".to_owned() } else { limits.join(", ") });
    }
    for subscription in subscriptions {
        let off = if subscription.enabled { "" } else { ", off" };
        add("subscription", format!("{} (QoS {}{off})", subscription.filter, u8::from(subscription.qos)));
    }
    if let Some(Retention { max_bytes, max_rows, max_age_s }) = *retention {
        let limits = [
            max_bytes.map(|bytes| output::count(bytes, "byte", "bytes")),
            max_rows.map(|rows| output::count(rows, "message", "messages")),
            max_age_s.map(|seconds| format!("{seconds} s")),
        ];
        let limits: Vec<_> = limits.into_iter().flatten().collect();
        add("keeps at most", if limits.is_empty() { "no limit".to_owned() } else { limits.join(", ") });
    }
    lines
}

/// The contract's name of a value.
fn text_of(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

fn delete(library: &Library, names: &[String]) -> Result<(), Ending> {
    let tree = library.tree()?;
    // All of them are known before the first is deleted.
    let entries = names.iter().map(|name| find(&tree, name)).collect::<Result<Vec<_>, Ending>>()?;
    for (at, entry) in entries.iter().enumerate() {
        if entries[..at].iter().any(|before| before.id == entry.id) {
            continue;
        }
        library.delete(entry.id)?;
        let path = printable(&path(&tree, entry));
        output::line(&format!("Deleted {path}. For a day, helio profiles restore {} undoes that", entry.id));
    }
    Ok(())
}

fn restore(library: &Library, id: ProfileId) -> Result<(), Ending> {
    library.restore(id).map_err(|error| match error.code {
        ErrorCode::NotFound => {
            Ending::Usage(format!("There is no deleted connection {id} that could be restored"))
        }
        _ => error.into(),
    })?;
    let tree = library.tree()?;
    let name = find(&tree, &id.to_string()).map_or_else(|_| id.to_string(), |entry| path(&tree, entry));
    output::line(&format!("Restored {}", printable(&name)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use heliograph_engine::endpoint::Scheme;
    use heliograph_engine::library::Folder;

    fn tree() -> LibraryTree {
        let folders = ["Munich", "Berlin"].map(|name| Folder {
            id: FolderId(uuid::Uuid::new_v4()),
            name: name.into(),
            collapsed: false,
        });
        let entry = |name: &str, folder| ProfileEntry {
            id: ProfileId::random(),
            name: name.into(),
            folder,
            scheme: Scheme::Mqtt,
            url: "mqtt://a:1883".into(),
            login: false,
            client_certificate: false,
        };
        let (munich, berlin) = (Some(folders[0].id), Some(folders[1].id));
        let profiles = vec![
            entry("top", None),
            entry("Boiler", munich),
            entry("Boiler", berlin),
            entry("twin", berlin),
            entry("twin", berlin),
            entry("a/b", None),
        ];
        LibraryTree { folders: folders.into(), profiles, damaged: Vec::new() }
    }

    fn refusal(tree: &LibraryTree, name: &str) -> String {
        match find(tree, name) {
            Err(Ending::Usage(text)) => text,
            Err(_) => "another ending".into(),
            Ok(entry) => format!("found {}", entry.name),
        }
    }

    #[test]
    fn a_connection_is_found_by_what_people_write() {
        let tree = tree();
        let id = |index: usize| tree.profiles[index].id.to_string();
        for (text, index) in [
            ("top", 0),
            ("@top", 0),
            ("TOP", 0),
            ("Munich/Boiler", 1),
            ("berlin/boiler", 2),
            ("a/b", 5),
            (id(3).as_str(), 3),
            (&id(4)[..8], 4),
            (&id(4).to_uppercase(), 4),
        ] {
            assert_eq!(find(&tree, text).ok().map(|entry| entry.id), Some(tree.profiles[index].id), "{text}");
        }
    }

    #[test]
    fn an_ambiguous_name_lists_what_it_could_be() {
        let tree = tree();
        let text = refusal(&tree, "Boiler");
        assert!(text.contains("2 saved connections") && text.contains("its folder"), "{text}");
        assert!(text.contains("@Munich/Boiler") && text.contains("@Berlin/Boiler"), "{text}");
        for name in ["twin", "Berlin/twin"] {
            let text = refusal(&tree, name);
            assert!(text.contains("its id") && text.contains(&short(tree.profiles[3].id)), "{text}");
        }
        let text = refusal(&tree, "nobody");
        assert!(text.contains("nobody") && text.contains("Munich/Boiler"), "{text}");
    }
}
