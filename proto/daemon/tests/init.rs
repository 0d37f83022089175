//! What an init hears of a daemon, and a log that is moved away beneath it: with real sockets, files and processes.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use vertigo_daemon::{life, log_file};
use vertigo_testkit::waiting::DEADLINE;

/// Which part a process of this test program plays.
const PART: &str = "VERTIGO_TEST_PART";

/// Starts this program again to play `part`.
fn play(part: &str, with: impl FnOnce(&mut Command)) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "plays_its_part", "--nocapture", "--test-threads=1"]).env(PART, part);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    with(&mut command);
    command.spawn().unwrap()
}

/// What a process that [`play`] started does; in the test program itself, nothing.
#[test]
fn plays_its_part() {
    match std::env::var(PART).as_deref() {
        Ok("daemon") => {
            life::ready();
            life::does("connected to\nsomebody");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let mut line = String::new();
            // Its work is done when its stdin says so.
            let work = tokio::task::spawn_blocking;
            runtime.block_on(life::beside(async {
                let _ = work(move || std::io::stdin().read_line(&mut line)).await;
            }));
            life::stopping();
        }
        Ok("writer") => {
            let path = std::env::var(life::OWN_ENVIRONMENT[3]).unwrap();
            let mut lines = std::io::stdin().lines();
            while let Some(Ok(line)) = lines.next() {
                log_file::follow(Path::new(&path));
                writeln!(std::io::stderr(), "{line}").unwrap();
                println!("{line}");
            }
        }
        _ => {}
    }
}

#[test]
fn an_init_hears_that_a_daemon_is_ready_lives_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let hear = || {
        let mut bytes = [0; 4096];
        let length = socket.recv(&mut bytes).expect("an init hears of it in time");
        String::from_utf8_lossy(&bytes[..length]).trim_end().to_owned()
    };
    let mut daemon = play("daemon", |command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "40000").stderr(Stdio::null());
    });
    assert_eq!(hear(), "READY=1");
    assert_eq!(hear(), "STATUS=connected to somebody");
    assert_eq!([hear(), hear(), hear()], ["WATCHDOG=1"; 3].map(str::to_owned));
    drop(daemon.stdin.take());
    let mut last = hear();
    while last == "WATCHDOG=1" {
        last = hear();
    }
    assert_eq!(last, "STOPPING=1");
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn where_no_init_listens_nothing_happens() {
    let mut daemon = play("daemon", |command| {
        command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC").stderr(Stdio::null());
    });
    drop(daemon.stdin.take());
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn a_log_that_was_moved_away_goes_on_in_a_new_file_and_no_line_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (log, moved) = (folder.path().join("x.log"), folder.path().join("x.log.0"));
    let open = OpenOptions::new().create(true).append(true).open(&log).unwrap();
    let mut writer = play("writer", |command| {
        command.env(life::OWN_ENVIRONMENT[3], &log).stderr(open);
    });
    let mut stdin = writer.stdin.take().unwrap();
    let holds = |path: &Path, line: &str| fs::read_to_string(path).is_ok_and(|text| text.contains(line));
    let soon = |path: &Path, line: &str| {
        let until = std::time::Instant::now() + DEADLINE;
        while !holds(path, line) {
            assert!(std::time::Instant::now() < until, "{line} in {}", path.display());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    writeln!(stdin, "first").unwrap();
    soon(&log, "first");
    // As newsyslog does it: the old file has another name, and a new one is there.
    fs::rename(&log, &moved).unwrap();
    fs::write(&log, "turned over\n").unwrap();
    writeln!(stdin, "second").unwrap();
    soon(&log, "second");
    // And as a person does it, who makes no new one.
    fs::rename(&log, folder.path().join("x.log.1")).unwrap();
    writeln!(stdin, "third").unwrap();
    soon(&log, "third");
    drop(stdin);
    assert!(writer.wait().unwrap().success());
    assert_eq!(fs::read_to_string(&moved).unwrap().lines().collect::<Vec<_>>(), ["first"]);
}
