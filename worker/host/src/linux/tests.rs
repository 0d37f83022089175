use super::*;
use crate::facts::{Battery, Power, Pressure, Screen, Thermal};
use crate::policy::{Decision, Policy};
use std::time::Duration;

/// A machine in a folder.
struct Played(tempfile::TempDir);

impl Played {
    fn new(files: &[(&str, &str)]) -> Played {
        let played = Played(tempfile::tempdir().unwrap());
        files.iter().for_each(|(path, text)| played.write(path, text));
        played
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn host(&self) -> Linux {
        Linux::at(self.0.path().to_owned())
    }
}

const LAPTOP: &[(&str, &str)] = &[
    ("sys/class/power_supply/AC/type", "Mains\n"),
    ("sys/class/power_supply/AC/online", "0\n"),
    ("sys/class/power_supply/BAT0/type", "Battery\n"),
    ("sys/class/power_supply/BAT0/status", "Discharging\n"),
    ("sys/class/power_supply/BAT0/capacity", "41\n"),
    ("sys/class/thermal/thermal_zone0/temp", "88000\n"),
    ("sys/class/thermal/thermal_zone0/trip_point_0_type", "passive\n"),
    ("sys/class/thermal/thermal_zone0/trip_point_0_temp", "85000\n"),
    ("sys/class/thermal/cooling_device0/type", "Fan\n"),
    ("proc/pressure/memory", "some avg10=30.00 total=1\nfull avg10=1.00 total=1\n"),
    ("sys/class/drm/card0/dev", "226:0\n"),
    ("sys/class/drm/card0-eDP-1/status", "connected\n"),
    ("sys/class/drm/card0-eDP-1/dpms", "On\n"),
    ("sys/class/drm/card0-HDMI-A-1/status", "disconnected\n"),
    ("sys/class/drm/card0-HDMI-A-1/dpms", "Off\n"),
    ("proc/acpi/button/lid/LID0/state", "state:      closed\n"),
    ("proc/uptime", "600.25 1000.00\n"),
    ("proc/sys/kernel/random/boot_id", "6f3c4d8e-0000-4000-8000-000000000000\n"),
    ("proc/stat", "cpu  1 2 3\nbtime 1764316800\nprocesses 7\n"),
    ("dev/pts/ptmx", ""),
];

#[tokio::test]
async fn a_laptop_is_read_from_its_files() {
    let played = Played::new(LAPTOP);
    let typed = played.0.path().join("dev/pts/3");
    played.write("dev/pts/3", "");
    let accessed = SystemTime::now() - Duration::from_secs(1000);
    File::options().write(true).open(&typed).unwrap().set_times(fs::FileTimes::new().set_accessed(accessed)).unwrap();
    let facts = played.host().facts().await;
    let idle = facts.idle.unwrap();
    assert!((1000..1060).contains(&idle.as_secs()), "{idle:?}");
    let expected = Facts {
        power: Some(Power::Battery),
        battery: Some(Battery::Percent(41)),
        thermal: Some(Thermal::Serious),
        pressure: Some(Pressure::Warning),
        lid: Some(Lid::Closed),
        screen: Some(Screen::Lit),
        ..facts
    };
    assert_eq!(facts, expected);
    let boot = played.host().boot().await.unwrap();
    assert_eq!((boot.id.as_str(), boot.at_seconds), ("6f3c4d8e-0000-4000-8000-000000000000", 1_764_316_800));
    // Plugged in again, and cool.
    played.write("sys/class/power_supply/AC/online", "1\n");
    played.write("sys/class/thermal/thermal_zone0/temp", "50000\n");
    played.write("sys/class/drm/card0-eDP-1/dpms", "Off\n");
    let facts = played.host().facts().await;
    assert_eq!(facts.screen, Some(Screen::Dark));
    assert_eq!((facts.power, facts.thermal), (Some(Power::Mains), Some(Thermal::Nominal)));
    assert_eq!(Policy::default().decide(&facts), Decision::Open);
}

#[tokio::test]
async fn an_empty_machine_says_nothing_and_takes_part() {
    let played = Played::new(&[]);
    let facts = played.host().facts().await;
    assert_eq!(facts, Facts { clock: facts.clock, ..Facts::default() });
    assert_eq!(Policy::default().decide(&facts), Decision::Open);
    assert_eq!(played.host().boot().await, None);
    assert!(played.host().stay_awake("a test").unwrap().holds());
    // A desktop: no supply, no lid, nobody logged in.
    let desktop = Played::new(&[("proc/uptime", "60.0 1.0"), ("dev/pts/ptmx", ""), ("proc/acpi/button/power/x", "")]);
    fs::create_dir_all(desktop.0.path().join("sys/class/power_supply")).unwrap();
    let facts = desktop.host().facts().await;
    assert_eq!((facts.power, facts.battery), (Some(Power::Mains), Some(Battery::Absent)));
    assert_eq!((facts.lid, facts.idle), (Some(Lid::Absent), Some(Duration::from_secs(60))));
    assert_eq!(facts.screen, Some(Screen::Dark), "it has none");
}

#[tokio::test]
async fn odd_files_are_facts_that_are_not_known() {
    for junk in ["", "\n", "-1", "99999999999999999999999", "\u{0}\u{1}", "NaN", "some avg10= full avg10="] {
        let files: Vec<(&str, &str)> = LAPTOP.iter().map(|(path, _)| (*path, junk)).collect();
        let played = Played::new(&files);
        let facts = played.host().facts().await;
        assert_eq!((facts.pressure, facts.thermal, facts.screen), (None, None, None), "{junk:?}");
        assert_eq!((facts.power, facts.battery, facts.lid), (None, None, None), "{junk:?}");
        assert_eq!(played.host().boot().await, None, "{junk:?}");
    }
}

#[tokio::test]
async fn a_large_machine_is_read_whole() {
    let played = Played::new(LAPTOP);
    for n in 0..ENTRIES_MAX {
        played.write(&format!("sys/class/thermal/cooling_device{n}/type"), "Processor\n");
    }
    let interrupts = " 0".repeat(100_000);
    played.write("proc/stat", &format!("cpu  1 2 3\nintr 7{interrupts}\nctxt 1\nbtime 1764316800\n"));
    assert_eq!(played.host().facts().await.thermal, Some(Thermal::Serious));
    assert_eq!(played.host().boot().await.unwrap().at_seconds, 1_764_316_800);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn this_machine_answers() {
    let host = Linux::new();
    let facts = host.facts().await;
    assert!(facts.clock.is_some() && facts.pressure.is_some(), "{facts:?}");
    let (boot, again) = (host.boot().await.unwrap(), host.boot().await.unwrap());
    assert_eq!(boot, again);
    assert!(!boot.id.is_empty() && boot.at_seconds > 1_600_000_000, "{boot:?}");
}
