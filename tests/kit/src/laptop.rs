//! A laptop that is played in a folder, as its Linux would show it: what `vertigo-worker --host-root` reads.

use std::fs;
use std::io;
use std::path::Path;

/// Puts the laptop at `root` on mains power or on battery.
///
/// # Errors
/// Where the folder cannot be written.
pub fn plug(root: &Path, is_in: bool) -> io::Result<()> {
    let supplies = root.join("sys/class/power_supply");
    for supply in ["AC", "BAT0"] {
        fs::create_dir_all(supplies.join(supply))?;
    }
    let (online, status) = if is_in { ("1", "Charging") } else { ("0", "Discharging") };
    let files = [("BAT0/status", status), ("BAT0/type", "Battery"), ("AC/type", "Mains"), ("AC/online", online)];
    // Each whole: whoever reads meanwhile reads the one or the other.
    files.into_iter().try_for_each(|(path, text)| {
        let path = supplies.join(path);
        fs::write(path.with_extension("new"), text)?;
        fs::rename(path.with_extension("new"), path)
    })
}
