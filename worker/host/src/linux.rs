//! Linux as a host: what the kernel shows in files below a root, which a test may play in a folder, and systemd's own commands.
//!
//! Promise: of the root of a test nothing is asked but its files; a file that is absent or odd is a fact that is not known.

mod heat;
mod idle;
mod memory;
mod power;
mod screen;

use crate::command;
use crate::facts::{Clock, Facts, Lid};
use crate::host::{Awake, Boot, Host};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// Bytes of a file that are looked at. The longest is `/proc/stat`, with a word for each of thousands of interrupts.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Entries of a folder that are looked at.
const ENTRIES_MAX: usize = 256;

/// A machine with Linux.
#[derive(Debug, Clone)]
pub struct Linux {
    root: PathBuf,
}

impl Linux {
    /// This machine.
    pub fn new() -> Linux {
        Linux::at(PathBuf::from("/"))
    }

    /// The machine whose files lie below `root`. Where that is not `/`, it is played: no command is asked, and it does not sleep.
    pub fn at(root: PathBuf) -> Linux {
        Linux { root }
    }

    fn is_played(&self) -> bool {
        self.root != Path::new("/")
    }

    /// What files alone say.
    fn by_files(&self, now: SystemTime) -> Facts {
        let (power, battery) = supplies(&self.root).as_deref().map_or((None, None), power::of);
        Facts {
            power,
            battery,
            thermal: heat::of(&zones(&self.root)),
            pressure: memory::of(
                read(&self.root.join("proc/pressure/memory")).as_deref(),
                read(&self.root.join("proc/meminfo")).as_deref(),
            ),
            lid: lid(&self.root),
            idle: idle::by_terminals(&terminals(&self.root), uptime(&self.root), now),
            screen: connectors(&self.root).and_then(|all| screen::of(&all)),
            clock: Some(Clock::now()),
        }
    }
}

impl Default for Linux {
    fn default() -> Linux {
        Linux::new()
    }
}

impl Host for Linux {
    fn facts(&self) -> BoxFuture<'_, Facts> {
        async {
            let now = SystemTime::now();
            let facts = self.by_files(now);
            if self.is_played() {
                return facts;
            }
            let args = ["show-seat", "seat0", "--property=IdleHint", "--property=IdleSinceHint", "--property=Sessions"];
            let seat = command::output("loginctl", &args).await;
            Facts { idle: idle::with_seat(facts.idle, seat.as_deref(), now), ..facts }
        }
        .boxed()
    }

    fn stay_awake(&self, why: &str) -> io::Result<Awake> {
        if self.is_played() {
            return Ok(Awake::needless());
        }
        // What it runs ends when its stdin closes, which it does with this process: then the machine may sleep again.
        let args = ["--what=sleep", "--who=Vertigo", "--mode=block"];
        Awake::by(Command::new("systemd-inhibit").args(args).arg(format!("--why={why}")).arg("cat"))
    }

    fn boot(&self) -> BoxFuture<'_, Option<Boot>> {
        std::future::ready(boot(&self.root)).boxed()
    }
}

/// A file's beginning as text.
fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A file of one word or number.
fn word(path: &Path) -> Option<String> {
    read(path).map(|text| text.trim().to_owned())
}

/// The entries of a folder, by name. `None` where it cannot be read.
fn entries(folder: &Path) -> Option<Vec<PathBuf>> {
    named(folder, |_| true)
}

/// Those whose names are wanted.
fn named(folder: &Path, is_wanted: fn(&[u8]) -> bool) -> Option<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let entries = entries.filter(|entry| is_wanted(entry.file_name().as_encoded_bytes()));
    let mut paths: Vec<PathBuf> = entries.take(ENTRIES_MAX).map(|it| it.path()).collect();
    paths.sort();
    Some(paths)
}

fn supplies(root: &Path) -> Option<Vec<power::Supply>> {
    let supply = |path: PathBuf| power::Supply {
        kind: word(&path.join("type")).unwrap_or_default(),
        scope: word(&path.join("scope")).unwrap_or_default(),
        status: word(&path.join("status")).unwrap_or_default(),
        online: word(&path.join("online")).and_then(|online| online.parse::<u8>().ok()).map(|online| online > 0),
        capacity: word(&path.join("capacity")).and_then(|percent| percent.parse().ok()),
    };
    Some(entries(&root.join("sys/class/power_supply"))?.into_iter().map(supply).collect())
}

fn zones(root: &Path) -> Vec<heat::Zone> {
    let zone = |path: PathBuf| {
        let degrees = |name: &str| word(&path.join(name)).and_then(|text| text.parse().ok());
        let trip = |n: usize| {
            let kind = word(&path.join(format!("trip_point_{n}_type")))?;
            Some((kind, degrees(&format!("trip_point_{n}_temp"))?))
        };
        Some(heat::Zone { temperature: degrees("temp")?, trips: (0..heat::TRIPS_MAX).map_while(trip).collect() })
    };
    // Beside the zones there is a cooling device for each of hundreds of processors.
    let zones = named(&root.join("sys/class/thermal"), |name| name.starts_with(b"thermal_zone"));
    zones.unwrap_or_default().into_iter().filter_map(zone).collect()
}

/// What screens may hang on. A kernel that shows its devices and no graphics has none.
fn connectors(root: &Path) -> Option<Vec<screen::Connector>> {
    let classes = root.join("sys/class");
    let Some(all) = entries(&classes.join("drm")) else { return classes.is_dir().then(Vec::new) };
    let connector = |path: PathBuf| {
        let status = word(&path.join("status"))?;
        Some(screen::Connector { status, power: word(&path.join("dpms")).unwrap_or_default() })
    };
    // Cards and what renders without a screen have no status.
    Some(all.into_iter().filter_map(connector).collect())
}

/// Its lid, where the kernel lists lids at all: a machine without one has no folder of theirs.
fn lid(root: &Path) -> Option<Lid> {
    let buttons = root.join("proc/acpi/button");
    let Some(lids) = entries(&buttons.join("lid")) else { return buttons.is_dir().then_some(Lid::Absent) };
    let states: Vec<String> = lids.iter().filter_map(|lid| read(&lid.join("state"))).collect();
    match &states[..] {
        states if states.iter().any(|state| state.contains("open")) => Some(Lid::Open),
        states if states.iter().any(|state| state.contains("closed")) => Some(Lid::Closed),
        _ => None,
    }
}

/// When each terminal was last typed into. `None` where terminals cannot be listed.
fn terminals(root: &Path) -> Option<Vec<SystemTime>> {
    let paths = named(&root.join("dev/pts"), |name| name.iter().all(u8::is_ascii_digit))?;
    Some(paths.into_iter().filter_map(|path| fs::metadata(path).ok()?.accessed().ok()).collect())
}

fn uptime(root: &Path) -> Option<std::time::Duration> {
    let seconds: f64 = read(&root.join("proc/uptime"))?.split_whitespace().next()?.parse().ok()?;
    std::time::Duration::try_from_secs_f64(seconds).ok()
}

fn boot(root: &Path) -> Option<Boot> {
    let id = word(&root.join("proc/sys/kernel/random/boot_id")).filter(|id| !id.is_empty())?;
    let stat = read(&root.join("proc/stat"))?;
    let at = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(Boot { id, at_seconds: at.trim().parse().ok()? })
}

#[cfg(test)]
mod tests;
