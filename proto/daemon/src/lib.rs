//! A daemon: a program of ours that starts with the machine.
//!
//! [`Daemon`] says what such a program is; [`launchd`] and [`systemd`] say it in the words of those two, and [`plan`] says which files and
//! commands put it there and take it away. All of that is pure. [`machine`] is the thin shell that does it, behind [`Commands`], and
//! [`install`], [`uninstall`] and [`status`] are what coordinator, worker and CLI call, by way of [`command`]. [`places`] says where things lie, [`life`] tells an
//! init what has become of the program, [`log_file`] follows a log that was rotated away, and [`doctor`] says what is wrong on a machine.
//!
//! Promise: nothing is written and nothing run before all that can be refused has been; a second installation is as good as the first; no
//! secret is in what is written here, which everybody may read.

pub mod arguments;
pub mod command;
pub mod daemon;
pub mod doctor;
pub mod facts;
pub mod installation;
pub mod launchd;
pub mod life;
pub mod log_file;
pub mod machine;
pub mod places;
pub mod plan;
pub mod state;
pub mod systemd;

pub use daemon::{Asked, Daemon, Name, Refused};
pub use installation::{Installed, Uninstalled, dry_run, install, status, uninstall};
pub use machine::{Commands, ThisMachine};
pub use state::Status;
