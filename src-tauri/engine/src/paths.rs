//! Where Heliograph keeps its files, the same for the window and the command line.

use std::env;
use std::path::{Path, PathBuf};

/// The database in the data directory: saved connections, settings of the window, and the history.
pub const DATABASE: &str = "heliograph.db";

/// The data directory: `$HELIOGRAPH_DATA_DIR`, or where the platform wants application data.
pub fn default_data_dir() -> PathBuf {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // Without any home the current folder is at least a place that the person can see.
    data_dir(&variable, env::home_dir()).unwrap_or_else(|| PathBuf::from("heliograph-data"))
}

/// The local broker's certificates and state within the data directory.
pub fn broker_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("broker")
}

fn data_dir(variable: &dyn Fn(&str) -> Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    if let Some(chosen) = variable("HELIOGRAPH_DATA_DIR") {
        return Some(chosen);
    }
    if cfg!(target_os = "windows") {
        return Some(variable("APPDATA")?.join("Heliograph"));
    }
    if cfg!(target_os = "macos") {
        return Some(home?.join("Library/Application Support/app.heliograph.desktop"));
    }
    // A relative XDG path is to be ignored, says the XDG base directory specification.
    let base = variable("XDG_DATA_HOME").filter(|path| path.is_absolute());
    Some(base.or_else(|| Some(home?.join(".local/share")))?.join("heliograph"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_environment_decides() {
        let dir = |pairs: &'static [(&'static str, &'static str)], home: Option<&str>| {
            let variable = |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.into());
            data_dir(&variable, home.map(PathBuf::from))
        };
        assert_eq!(dir(&[("HELIOGRAPH_DATA_DIR", "/d")], Some("/h")), Some("/d".into()));
        assert_eq!(dir(&[("XDG_DATA_HOME", "/x")], Some("/h")), Some("/x/heliograph".into()));
        assert_eq!(dir(&[("XDG_DATA_HOME", "x")], Some("/h")), Some("/h/.local/share/heliograph".into()));
        assert_eq!(dir(&[], None), None);
    }
}
