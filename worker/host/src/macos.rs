//! macOS as a host: what its own commands print, and `caffeinate`.
//!
//! Promise: what a command prints is read by pure functions, which are compiled and tested on every platform, and take any bytes; what
//! they do not know is not known. All commands run at once, each within its deadline, and none needs a privilege.

mod read;

use crate::command::output;
use crate::facts::{Clock, Facts};
use crate::host::{Awake, Boot, Host};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::io;
use std::process::Command;

/// A machine with macOS.
#[derive(Debug, Clone, Copy, Default)]
pub struct MacOs;

impl Host for MacOs {
    fn facts(&self) -> BoxFuture<'_, Facts> {
        async {
            let (batt, therm, level, pressure, hid, lid, present, root) = tokio::join!(
                output("/usr/bin/pmset", &["-g", "batt"]),
                output("/usr/bin/pmset", &["-g", "therm"]),
                // What `ProcessInfo.thermalState` is made of. `pmset` says nothing of it on Apple silicon.
                output("/usr/bin/notifyutil", &["-g", "com.apple.system.thermalpressurelevel"]),
                output("/usr/sbin/sysctl", &["-n", "kern.memorystatus_vm_pressure_level"]),
                output("/usr/sbin/ioreg", &["-r", "-d", "1", "-c", "IOHIDSystem"]),
                output("/usr/sbin/ioreg", &["-r", "-d", "1", "-k", "AppleClamshellState"]),
                // What powerd says of who is at the machine. Apple silicon's registry says nothing of a display's power.
                output("/usr/bin/notifyutil", &["-g", "com.apple.system.powermanagement.useractivity2"]),
                output("/usr/sbin/ioreg", &["-d", "1", "-n", "Root"]),
            );
            let (power, battery) = batt.as_deref().map_or((None, None), read::power);
            let heats = [therm.as_deref().and_then(read::speed_limit), level.as_deref().and_then(read::thermal_level)];
            let idle = hid.as_deref().and_then(read::idle);
            Facts {
                power,
                battery,
                thermal: heats.into_iter().flatten().max(),
                pressure: pressure.as_deref().and_then(read::pressure),
                lid: lid.as_deref().and_then(read::lid),
                idle,
                screen: read::screen(present.as_deref(), root.as_deref(), idle),
                clock: Some(Clock::now()),
            }
        }
        .boxed()
    }

    fn stay_awake(&self, _why: &str) -> io::Result<Awake> {
        // Against idle sleep, and on mains power against any; the display may sleep. It ends with this process, however that ends.
        let pid = std::process::id().to_string();
        Awake::by(Command::new("/usr/bin/caffeinate").args(["-i", "-s", "-w", &pid]))
    }

    fn boot(&self) -> BoxFuture<'_, Option<Boot>> {
        async {
            let (id, time) = tokio::join!(
                output("/usr/sbin/sysctl", &["-n", "kern.bootsessionuuid"]),
                output("/usr/sbin/sysctl", &["-n", "kern.boottime"]),
            );
            read::boot(&id?, &time?)
        }
        .boxed()
    }
}
