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
    files.into_iter().try_for_each(|(path, text)| put(&supplies.join(path), text))
}

/// Lights the laptop's screen or lets it sleep.
///
/// # Errors
/// Where the folder cannot be written.
pub fn light(root: &Path, is_lit: bool) -> io::Result<()> {
    let panel = root.join("sys/class/drm/card0-eDP-1");
    fs::create_dir_all(&panel)?;
    put(&panel.join("status"), "connected")?;
    put(&panel.join("dpms"), if is_lit { "On" } else { "Off" })
}

/// Leaves so many percent of the laptop's memory.
///
/// # Errors
/// Where the folder cannot be written.
pub fn squeeze(root: &Path, percent_left: u32) -> io::Result<()> {
    fs::create_dir_all(root.join("proc"))?;
    put(&root.join("proc/meminfo"), &format!("MemTotal: 100 kB\nMemAvailable: {percent_left} kB\n"))
}

/// Whole: whoever reads meanwhile reads what was there before or this.
fn put(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path.with_extension("new"), text)?;
    fs::rename(path.with_extension("new"), path)
}
