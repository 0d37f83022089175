use super::*;
use proptest::prelude::*;

const ON_AC: &str = "Now drawing from 'AC Power'
 -InternalBattery-0 (id=21430371)\t87%; charging; 1:02 remaining present: true
";
const ON_BATTERY: &str = "Now drawing from 'Battery Power'
 -InternalBattery-0 (id=21430371)\t9%; discharging; (no estimate) present: true
\tBattery Warning: Early
";
const DESKTOP: &str = "Now drawing from 'AC Power'\n";
const ON_UPS: &str = "Now drawing from 'UPS Power'
 -Back-UPS ES 700G FW:871.O4 .I USB FW:O4 (id=3473408)\t64%; discharging; 0:21 remaining present: true
";
const COOL: &str = "Note: No thermal warning level has been recorded
Note: No performance warning level has been recorded
Note: No CPU power status has been recorded
";
const SLOWED: &str = "Note: No thermal warning level has been recorded
Note: No performance warning level has been recorded
2026-02-03 10:11:12 +0100 CPU Power notify
\tCPU_Scheduler_Limit \t= 100
\tCPU_Available_CPUs \t= 8
\tCPU_Speed_Limit \t= 72
";
const HID: &str = r#"+-o IOHIDSystem  <class IOHIDSystem, id 0x100000431, registered, matched, active, busy 0 (0 ms), retain 31>
    {
      "IOClass" = "IOHIDSystem"
      "HIDParameters" = {"HIDClickTime"=500000000,"HIDIdleTime"=7,"TrackpadScroll"=1}
      "HIDIdleTime" = 905417250125
      "IOMatchCategory" = "IOHID"
    }

"#;
const CLOSED: &str = r#"+-o IOPMrootDomain  <class IOPMrootDomain, id 0x100000115, registered, matched, active, busy 0 (6 ms), retain 57>
    {
      "AppleClamshellCausesSleep" = No
      "AppleClamshellState" = Yes
      "SleepRequestedByPID" = 0
    }

"#;

const LOCKED: &str = r#"+-o Root  <class IORegistryEntry, id 0x100000100, retain 21>
    {
      "IOConsoleLocked" = Yes
      "IOConsoleUsers" = ({"kCGSSessionOnConsoleKey"=Yes,"kCGSSessionUserNameKey"="ada","CGSSessionScreenIsLocked"=Yes,"kSCSecuritySessionID"=100023})
      "OS Build Version" = "25B78"
    }
"#;

#[test]
fn power_and_battery() {
    assert_eq!(power(ON_AC), (Some(Power::Mains), Some(Battery::Percent(87))));
    assert_eq!(power(ON_BATTERY), (Some(Power::Battery), Some(Battery::Percent(9))));
    assert_eq!(power(DESKTOP), (Some(Power::Mains), Some(Battery::Absent)));
    assert_eq!(power(ON_UPS), (Some(Power::Battery), Some(Battery::Percent(64))));
    assert_eq!(power(""), (None, None));
    let unsaid = " -InternalBattery-0 (id=21430371)\t(no estimate); discharging; present: true\n";
    assert_eq!(power(&format!("{DESKTOP}{unsaid}")), (Some(Power::Mains), None), "it has one");
    assert_eq!(power("Now drawing from 'Solar Power'\n -InternalBattery-0\t500%;"), (None, None));
}

#[test]
fn heat() {
    assert_eq!((speed_limit(COOL), speed_limit(SLOWED)), (None, Some(Thermal::Serious)));
    assert_eq!(speed_limit("CPU_Speed_Limit = 100"), Some(Thermal::Nominal));
    assert_eq!(speed_limit("CPU_Speed_Limit = 20"), Some(Thermal::Critical));
    let level = |n: u64| thermal_level(&format!("com.apple.system.thermalpressurelevel {n}\n"));
    assert_eq!([0, 1, 2].map(level), [Some(Thermal::Nominal), Some(Thermal::Fair), Some(Thermal::Serious)]);
    assert_eq!([3, 4, 5].map(level), [Some(Thermal::Critical), Some(Thermal::Critical), None]);
    assert_eq!(thermal_level("com.apple.system.thermalpressurelevel: Failed"), None);
}

#[test]
fn memory_idle_and_lid() {
    assert_eq!(
        ["1\n", "2\n", "4\n", "0\n", ""].map(pressure),
        [Some(Pressure::Normal), Some(Pressure::Warning), Some(Pressure::Critical), None, None]
    );
    assert_eq!(idle(HID), Some(Duration::from_nanos(905_417_250_125)));
    assert_eq!(idle(""), None);
    let is = |text: &str| lid(&CLOSED.replace("= Yes", text));
    assert_eq!((is("= Yes"), is("= No"), is("= 1")), (Some(Lid::Closed), Some(Lid::Open), None));
    assert_eq!(lid(""), Some(Lid::Absent));
}

#[test]
fn a_screen_is_dark_where_it_is_locked_or_powerd_sees_nobody() {
    let minutes = |minutes: u64| Some(Duration::from_secs(60 * minutes));
    let seen =
        |bits: u64, idle| screen(Some(&format!("com.apple.system.powermanagement.useractivity2 {bits}\n")), None, idle);
    assert_eq!([1, 2, 3, 5].map(|bits| seen(bits, minutes(1))), [Some(Screen::Lit); 4]);
    assert_eq!(
        [0, 4, 8].map(|bits| seen(bits, minutes(20))),
        [Some(Screen::Dark); 3],
        "a client over the network is not there"
    );
    assert_eq!((seen(0, minutes(1)), seen(0, None)), (None, None), "somebody types, so powerd says nothing here");
    assert_eq!(screen(None, None, minutes(20)), None);
    assert_eq!(screen(Some("com.apple.system.powermanagement.useractivity2: Failed"), None, minutes(20)), None);
    assert_eq!(screen(Some("it 1"), Some(LOCKED), minutes(0)), Some(Screen::Dark));
    assert_eq!(
        screen(Some("it 1"), Some(&LOCKED.replace("Locked\"=Yes", "Locked\"=No")), minutes(0)),
        Some(Screen::Lit)
    );
}

#[test]
fn a_boot_has_an_id_and_a_time() {
    let time = "{ sec = 1764316800, usec = 412334 } Fri Nov 28 09:00:00 2025\n";
    let id = "C0FFEE00-0000-4000-8000-000000000000";
    assert_eq!(boot(&format!("{id}\n"), time), Some(Boot { id: id.to_owned(), at_seconds: 1_764_316_800 }));
    assert_eq!((boot("", time), boot(id, ""), boot(id, "{ sec = , usec = 1 }")), (None, None, None));
}

proptest! {
    #[test]
    fn no_bytes_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        sample in prop::sample::select(&[ON_AC, ON_BATTERY, ON_UPS, SLOWED, HID, CLOSED, LOCKED][..]),
        cut in any::<prop::sample::Index>(),
    ) {
        let junk = String::from_utf8_lossy(&bytes).into_owned();
        let at = sample.floor_char_boundary(cut.index(sample.len()));
        for text in [junk.clone(), sample[..at].to_owned(), format!("{}{junk}{}", &sample[..at], &sample[at..])] {
            let (_, battery) = power(&text);
            prop_assert!(!matches!(battery, Some(Battery::Percent(101..))));
            let _ = screen(Some(&text), Some(&text), idle(&text));
            let _ = (speed_limit(&text), thermal_level(&text), pressure(&text), idle(&text), lid(&text), boot(&text, &text));
        }
    }
}
