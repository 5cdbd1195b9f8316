//! Files dragged over the window from another program: the X protocol for drag and drop (XDND, version 5) as a
//! file manager speaks it, through the X server. In: where, and which files. Out: what the window gets.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use tokio::time::{Instant, sleep};
use x11rb::connection::Connection as _;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    Atom, AtomEnum, ClientMessageEvent, ConnectionExt as _, CreateWindowAux, EventMask, PropMode,
    SELECTION_NOTIFY_EVENT, SelectionNotifyEvent, SelectionRequestEvent, Timestamp, Window as WindowId,
    WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

use crate::window::PATIENCE;

x11rb::atom_manager! {
    Atoms: AtomCookies {
        XdndAware, XdndEnter, XdndPosition, XdndStatus, XdndDrop, XdndFinished, XdndLeave, XdndSelection,
        XdndActionCopy, TARGETS,
        uris: b"text/uri-list",
    }
}

const VERSION: u32 = 5;
const NOW: Timestamp = x11rb::CURRENT_TIME;

/// Files that are held over the window, and not yet let go.
pub struct Dragged {
    connection: RustConnection,
    atoms: Atoms,
    source: WindowId,
    target: WindowId,
    /// As addresses.
    files: Vec<String>,
}

impl Dragged {
    /// Enters the window with files. There is one window on the screen.
    pub fn enter(paths: &[&Path]) -> Result<Self> {
        Self::enter_with(paths.iter().map(|path| address(path)).collect())
    }

    /// Enters the window with something that has an address, as from a browser.
    pub fn enter_with(files: Vec<String>) -> Result<Self> {
        let (connection, screen) = x11rb::connect(None).context("the X server")?;
        let atoms = Atoms::new(&connection)?.reply()?;
        let root = connection.setup().roots[screen].root;
        let source = connection.generate_id()?;
        let looks = CreateWindowAux::new();
        connection.create_window(
            0,
            source,
            root,
            -10,
            -10,
            1,
            1,
            0,
            WindowClass::INPUT_ONLY,
            x11rb::COPY_FROM_PARENT,
            &looks,
        )?;
        connection.set_selection_owner(source, atoms.XdndSelection, NOW)?;
        let target = aware(&connection, atoms.XdndAware, root)?;
        let dragged = Self { connection, atoms, source, target, files };
        dragged.send(dragged.atoms.XdndEnter, [VERSION << 24, dragged.atoms.uris, 0, 0])?;
        Ok(dragged)
    }

    /// Holds them over a place, in pixels of the page, until the window has answered.
    pub async fn over(&self, x: f64, y: f64) -> Result<()> {
        let origin = self.connection.translate_coordinates(self.target, self.root()?, 0, 0)?.reply()?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place on the screen")]
        let at = |start: i16, offset: f64| (f64::from(start) + offset).round() as u32;
        let place = at(origin.dst_x, x) << 16 | at(origin.dst_y, y);
        // The window asks for the list of files when they are first moved; only the next move finds it there.
        for _ in 0..2 {
            self.send(self.atoms.XdndPosition, [0, place, NOW, self.atoms.XdndActionCopy])?;
            self.answered(self.atoms.XdndStatus).await?;
        }
        Ok(())
    }

    /// Lets them go where they are held.
    pub async fn drop(self) -> Result<()> {
        self.send(self.atoms.XdndDrop, [0, NOW, 0, 0])?;
        self.answered(self.atoms.XdndFinished).await
    }

    /// Takes them out of the window again.
    pub fn leave(&self) -> Result<()> {
        self.send(self.atoms.XdndLeave, [0; 4])
    }

    fn root(&self) -> Result<WindowId> {
        Ok(self.connection.query_tree(self.target)?.reply()?.root)
    }

    fn send(&self, kind: Atom, [a, b, c, d]: [u32; 4]) -> Result<()> {
        let message = ClientMessageEvent::new(32, self.target, kind, [self.source, a, b, c, d]);
        self.connection.send_event(false, self.target, EventMask::NO_EVENT, message)?;
        Ok(self.connection.flush()?)
    }

    /// Hands out the list of files until this message comes.
    async fn answered(&self, wanted: Atom) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            match self.connection.poll_for_event()? {
                Some(Event::SelectionRequest(asked)) => self.hand_out(asked)?,
                Some(Event::ClientMessage(told)) if told.type_ == wanted => return Ok(()),
                Some(_) => {}
                None => sleep(std::time::Duration::from_millis(5)).await,
            }
        }
        bail!("the window does not answer a drag")
    }

    fn hand_out(&self, asked: SelectionRequestEvent) -> Result<()> {
        let mut property = asked.property;
        let (to, replace) = (asked.requestor, PropMode::REPLACE);
        if asked.target == self.atoms.uris {
            let list: String = self.files.iter().map(|file| format!("{file}\r\n")).collect();
            self.connection.change_property8(replace, to, property, asked.target, list.as_bytes())?;
        } else if asked.target == self.atoms.TARGETS {
            self.connection.change_property32(replace, to, property, AtomEnum::ATOM, &[self.atoms.uris])?;
        } else {
            property = x11rb::NONE;
        }
        let answer = SelectionNotifyEvent {
            response_type: SELECTION_NOTIFY_EVENT,
            sequence: 0,
            time: asked.time,
            requestor: to,
            selection: asked.selection,
            target: asked.target,
            property,
        };
        self.connection.send_event(false, to, EventMask::NO_EVENT, answer)?;
        Ok(self.connection.flush()?)
    }
}

/// `file:` with what is no plain letter escaped (RFC 8089).
fn address(path: &Path) -> String {
    let escaped = path.as_os_str().as_encoded_bytes().iter().map(|&byte| {
        let plain = byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    });
    format!("file://{}", escaped.collect::<String>())
}

/// The largest window that takes drags: the others are helpers of its toolkit.
fn aware(connection: &RustConnection, property: Atom, root: WindowId) -> Result<WindowId> {
    let mut found = (0, x11rb::NONE);
    for window in connection.query_tree(root)?.reply()?.children {
        let told = connection.get_property(false, window, property, AtomEnum::ANY, 0, 1)?.reply()?;
        let place = connection.get_geometry(window)?.reply()?;
        let area = u32::from(place.width) * u32::from(place.height);
        if told.type_ != x11rb::NONE && area > found.0 {
            found = (area, window);
        }
    }
    if found.1 == x11rb::NONE {
        bail!("no window on the screen takes drags");
    }
    Ok(found.1)
}
