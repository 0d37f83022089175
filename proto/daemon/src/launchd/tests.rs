use super::*;
use crate::daemon::tests::usual;
use crate::places::Os;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// launchd.plist(5)'s keys with the types that we would write.
const KEYS: &str = include_str!("keys.txt");

/// What `SoftResourceLimits` and `HardResourceLimits` may hold, all of them integers.
const LIMITS: [&str; 9] =
    ["Core", "CPU", "Data", "FileSize", "MemoryLock", "NumberOfFiles", "NumberOfProcesses", "ResidentSetSize", "Stack"];

fn list(daemon: &Daemon) -> Dictionary {
    Value::from_reader_xml(plist(daemon).unwrap().as_bytes()).unwrap().into_dictionary().unwrap()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "array",
        Value::Boolean(_) => "boolean",
        Value::Dictionary(_) => "dictionary",
        Value::Integer(_) => "integer",
        Value::String(_) => "string",
        _ => "something else",
    }
}

#[test]
fn the_files_are_these() {
    for name in Name::ALL {
        let daemon = usual(name, Os::MacOs);
        insta::assert_snapshot!(format!("{}.plist", name.word()), plist(&daemon).unwrap());
    }
    insta::assert_snapshot!("newsyslog", rotation(&usual(Name::Worker, Os::MacOs)).unwrap());
}

#[test]
fn every_key_is_one_that_launchd_knows_with_its_type() {
    let known: BTreeMap<&str, &str> = KEYS.lines().filter_map(|line| line.split_once(' ')).collect();
    assert!(known.len() > 40);
    for name in Name::ALL {
        for (key, value) in list(&usual(name, Os::MacOs)) {
            assert_eq!(known.get(key.as_str()), Some(&kind(&value)), "{key}");
            if key.ends_with("ResourceLimits") {
                for (limit, value) in value.into_dictionary().unwrap() {
                    assert!(LIMITS.contains(&limit.as_str()) && kind(&value) == "integer", "{key}: {limit}");
                }
            }
        }
    }
}

#[test]
fn it_starts_with_the_machine_again_and_again_on_fast_cores_and_has_time_for_a_checkpoint() {
    let list = list(&usual(Name::Worker, Os::MacOs));
    for key in ["RunAtLoad", "KeepAlive"] {
        assert_eq!(list.get(key).and_then(Value::as_boolean), Some(true), "{key}");
    }
    assert_eq!(list.get("ProcessType").and_then(Value::as_string), Some("Interactive"));
    assert_eq!(list.get("UserName").and_then(Value::as_string), Some("me"));
    assert!(list.get("ExitTimeOut").and_then(Value::as_unsigned_integer) >= Some(300));
    assert_eq!(list.get("Umask").and_then(Value::as_unsigned_integer), Some(63));
}

#[test]
fn the_rotated_file_is_one_word_of_newsyslogs_and_the_one_that_launchd_writes() {
    let daemon = usual(Name::Worker, Os::MacOs);
    let entry = rotation(&daemon).unwrap();
    let fields: Vec<&str> = entry.lines().last().unwrap().split(' ').collect();
    assert_eq!(fields.len(), 7, "{entry}");
    assert_eq!(Some(fields[0]), list(&daemon).get("StandardErrorPath").and_then(Value::as_string));
    assert_eq!(fields[6], "N");
}

#[test]
fn what_launchctl_prints_is_read_at_its_first_level_alone() {
    let printed = "system/io.github.adpena.vertigo-worker = {\n\tactive count = 1\n\tstate = running\n\n\targuments = {\n\t\tpid = 7\n\t}\n\
                   \tpid = 4321\n\tlast exit code = (never exited)\n\tendpoints = {\n\t\t\"x\" = {\n\t\t\tstate = active\n\t\t}\n\t}\n}\n";
    assert_eq!(running(printed), Running::Up { pid: 4321 });
    let down = running("x = {\n\tstate = spawn scheduled\n\tlast exit code = 78: EX_CONFIG\n}\n");
    assert_eq!(down, Running::Down { ended: Some("its last exit code was 78: EX_CONFIG".to_owned()) });
    assert_eq!(running(""), Running::Down { ended: None });
    assert_eq!(running("x = {\n\tlast exit code = (never exited)\n}\n"), Running::Down { ended: None });
}

proptest! {
    #[test]
    fn what_is_written_reads_back(word in "[^\\p{Cc}\\u{fffe}\\u{ffff}]{0,40}", folder in "[^\\p{Cc}/\\u{fffe}\\u{ffff}]{1,20}") {
        let mut daemon = usual(Name::Worker, Os::MacOs);
        daemon.state = PathBuf::from("/srv").join(&folder);
        daemon.arguments.push(word.clone());
        daemon.environment.insert("X".to_owned(), word.clone());
        let back = read(&plist(&daemon).unwrap());
        prop_assert_eq!(back.program.as_ref(), Some(&daemon.program));
        prop_assert_eq!(back.state.as_ref(), Some(&daemon.state));
        prop_assert_eq!(back.user.as_deref(), Some("me"));
        prop_assert_eq!(back.log, daemon.log_file());
        let list = list(&daemon);
        let words = list.get("ProgramArguments").and_then(Value::as_array).unwrap();
        prop_assert_eq!(words.last().and_then(Value::as_string), Some(word.as_str()));
    }

    #[test]
    fn no_text_of_others_breaks_the_readers(text in any::<String>()) {
        read(&text);
        running(&text);
    }
}
