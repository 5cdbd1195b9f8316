//! What a person sees and does, from outside: keys through the X server, and pixels on the screen.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{
    ConnectionExt as _, GetImageReply, ImageFormat, InputFocus, KEY_PRESS_EVENT, KEY_RELEASE_EVENT, MapState,
    Window as WindowId,
};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

/// A place on the screen that stays as it is for longer than this after a key does not show it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Buttons of the mouse, and those that its wheel is.
pub const LEFT: u8 = 1;
pub const WHEEL_UP: u8 = 4;
pub const WHEEL_DOWN: u8 = 5;

/// Keys by their X keysym (X11/keysymdef.h).
pub const UP: u32 = 0xff52;
pub const DOWN: u32 = 0xff54;
pub const PAGE_UP: u32 = 0xff55;
pub const LETTER_A: u32 = 0x61;
pub const LETTER_B: u32 = 0x62;

/// A rectangle of the page, in pixels.
#[derive(Debug, Clone, Copy)]
pub struct Rect {
    pub x: i16,
    pub y: i16,
    pub width: u16,
    pub height: u16,
}

pub struct Screen {
    connection: RustConnection,
    root: WindowId,
    window: WindowId,
}

impl Screen {
    /// Finds the window, the largest on the screen, and gives it the focus.
    pub fn open() -> Result<Self> {
        let (connection, screen) = x11rb::connect(None).context("the X server")?;
        let root = connection.setup().roots[screen].root;
        let mut found = (0, x11rb::NONE);
        for window in connection.query_tree(root)?.reply()?.children {
            let looks = connection.get_window_attributes(window)?.reply()?;
            let place = connection.get_geometry(window)?.reply()?;
            let area = u32::from(place.width) * u32::from(place.height);
            if looks.map_state == MapState::VIEWABLE && area > found.0 {
                found = (area, window);
            }
        }
        let window = found.1;
        if window == x11rb::NONE {
            bail!("no window on the screen");
        }
        connection.set_input_focus(InputFocus::PARENT, window, x11rb::CURRENT_TIME)?;
        connection.flush()?;
        Ok(Self { connection, root, window })
    }

    /// Presses and lets go of a key, and returns how long it took until this place looked different.
    pub fn key_to_paint(&self, keysym: u32, place: Rect) -> Result<Duration> {
        let before = self.picture(place)?.data;
        let pressed = Instant::now();
        self.key(keysym)?;
        while self.picture(place)?.data == before {
            if pressed.elapsed() > PATIENCE {
                bail!("a key changed nothing on the screen");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(pressed.elapsed())
    }

    pub fn key(&self, keysym: u32) -> Result<()> {
        let code = self.code(keysym)?;
        for kind in [KEY_PRESS_EVENT, KEY_RELEASE_EVENT] {
            self.connection.xtest_fake_input(kind, code, 0, self.root, 0, 0, 0)?;
        }
        Ok(self.connection.flush()?)
    }

    /// Presses and lets go of a button of the mouse, or turns its wheel, where the pointer is.
    pub fn button(&self, button: u8) -> Result<()> {
        for kind in
            [x11rb::protocol::xproto::BUTTON_PRESS_EVENT, x11rb::protocol::xproto::BUTTON_RELEASE_EVENT]
        {
            self.connection.xtest_fake_input(kind, button, 0, self.root, 0, 0, 0)?;
        }
        Ok(self.connection.flush()?)
    }

    pub fn point(&self, x: i16, y: i16) -> Result<()> {
        let (left, top) = self.origin()?;
        let kind = x11rb::protocol::xproto::MOTION_NOTIFY_EVENT;
        self.connection.xtest_fake_input(kind, 0, 0, self.root, left + x, top + y, 0)?;
        Ok(self.connection.flush()?)
    }

    fn picture(&self, place: Rect) -> Result<GetImageReply> {
        let (left, top) = self.origin()?;
        let all = u32::MAX;
        let asked = self.connection.get_image(
            ImageFormat::Z_PIXMAP,
            self.root,
            left + place.x,
            top + place.y,
            place.width,
            place.height,
            all,
        )?;
        Ok(asked.reply()?)
    }

    fn origin(&self) -> Result<(i16, i16)> {
        let place = self.connection.translate_coordinates(self.window, self.root, 0, 0)?.reply()?;
        Ok((place.dst_x, place.dst_y))
    }

    fn code(&self, keysym: u32) -> Result<u8> {
        let setup = self.connection.setup();
        let count = setup.max_keycode - setup.min_keycode + 1;
        let map = self.connection.get_keyboard_mapping(setup.min_keycode, count)?.reply()?;
        let each = usize::from(map.keysyms_per_keycode);
        let at = map.keysyms.iter().position(|&known| known == keysym).context("no such key")? / each;
        Ok(setup.min_keycode + u8::try_from(at)?)
    }
}
