//! Pictures of the window as it is on the screen. WebDriver's own hang in a web view that draws without a graphics card.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::sleep;
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{ConnectionExt as _, ImageFormat, MapState};
use x11rb::rust_connection::RustConnection;

/// How often it is looked whether the screen has come to rest; what never rests is taken as it is.
const LOOKS: usize = 10;
const BETWEEN: Duration = Duration::from_millis(40);

/// Takes a picture of the largest window on the screen, once nothing moves any more.
pub async fn take(file: &Path) -> Result<()> {
    let (connection, screen) = x11rb::connect(None).context("the X server")?;
    let root = connection.setup().roots[screen].root;
    let mut before = look(&connection, root)?;
    for _ in 0..LOOKS {
        sleep(BETWEEN).await;
        let now = look(&connection, root)?;
        let rests = now.pixels == before.pixels;
        before = now;
        if rests {
            break;
        }
    }
    let Look { width, height, pixels } = before;
    let file = std::io::BufWriter::new(std::fs::File::create(file)?);
    let mut encoder = png::Encoder::new(file, width.into(), height.into());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    // The server has them as blue, green, red and one byte unused.
    let rgb: Vec<u8> = pixels.chunks_exact(4).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect();
    writer.write_image_data(&rgb)?;
    Ok(writer.finish()?)
}

struct Look {
    width: u16,
    height: u16,
    pixels: Vec<u8>,
}

fn look(connection: &RustConnection, root: u32) -> Result<Look> {
    let mut largest = None;
    for window in connection.query_tree(root)?.reply()?.children {
        // Gone meanwhile, perhaps: a menu, a tooltip.
        let (Ok(looks), Ok(place)) =
            (connection.get_window_attributes(window)?.reply(), connection.get_geometry(window)?.reply())
        else {
            continue;
        };
        let area = u32::from(place.width) * u32::from(place.height);
        if looks.map_state == MapState::VIEWABLE && largest.as_ref().is_none_or(|(most, _)| area > *most) {
            largest = Some((area, place));
        }
    }
    let Some((_, place)) = largest else { bail!("no window on the screen") };
    let (format, all) = (ImageFormat::Z_PIXMAP, u32::MAX);
    let asked = connection.get_image(format, root, place.x, place.y, place.width, place.height, all)?;
    let image = asked.reply().context("a window that is wholly on the screen")?;
    if image.data.len() != usize::from(place.width) * usize::from(place.height) * 4 {
        bail!("a screen of another depth than 24 bits");
    }
    Ok(Look { width: place.width, height: place.height, pixels: image.data })
}
