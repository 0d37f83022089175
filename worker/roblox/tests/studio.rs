//! A played MCP server in the place of Studio's own: over a real child's stdin and stdout.

use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use vertigo_evaluation::roblox::{Outcome, Verdict};
use vertigo_roblox::script::Has;
use vertigo_roblox::studio::{Patience, Studio, StudioError};

const QUICK: Patience = Patience {
    call: Duration::from_secs(10),
    script: Duration::from_secs(10),
    play: Duration::from_millis(300),
    look_every: Duration::from_millis(5),
};

const BOTH: Has = Has { check_scene: true, check_game: true };

/// A command that plays a Studio in a way, and the file that says what it was asked. It is a link to a program that was built: a script
/// written just now cannot be run while another thread is starting a process, which has it open for a moment.
fn command(dir: &TempDir, way: &str) -> (PathBuf, PathBuf) {
    let path = dir.path().join("StudioMCP");
    symlink(env!("CARGO_BIN_EXE_played-studio"), &path).unwrap();
    fs::write(dir.path().join("way"), way).unwrap();
    (path, dir.path().join("asked"))
}

async fn judged(way: &str, place: &str, has: Has, patience: Patience) -> (Result<Verdict, StudioError>, Vec<Value>) {
    let dir = tempfile::tempdir().unwrap();
    let (command, log) = command(&dir, way);
    let verdict = match Studio::open(&command, patience).await {
        Ok(studio) => {
            let verdict = studio.judge(place, has, "return {} -- the script").await;
            studio.close().await;
            verdict
        }
        Err(error) => Err(error),
    };
    let asked = fs::read_to_string(&log).unwrap_or_default();
    (verdict, asked.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn tools(asked: &[Value]) -> Vec<&str> {
    asked.iter().map(|call| call["tool"].as_str().unwrap()).filter(|tool| *tool != "get_studio_state").collect()
}

#[tokio::test]
async fn an_answer_is_judged_in_edit_mode_and_in_a_game_and_taken_back() {
    let (verdict, asked) = judged("good", "racing.rbxl", BOTH, QUICK).await;
    let verdict = verdict.unwrap();
    assert_eq!(verdict.outcome, Outcome::Passed, "{verdict:?}");
    let modes: Vec<&str> = verdict.runs.iter().map(|run| run.mode.as_str()).collect();
    assert_eq!(modes, ["[EDIT]", "[SERVER]"]);
    let expected =
        ["list_roblox_studios", "execute_luau", "start_stop_play", "execute_luau", "start_stop_play", "execute_luau"];
    assert_eq!(tools(&asked), expected);
    let luau: Vec<&Value> =
        asked.iter().filter(|call| call["tool"] == "execute_luau").map(|it| &it["arguments"]).collect();
    let models: Vec<&str> = luau.iter().map(|it| it["datamodel_type"].as_str().unwrap()).collect();
    assert_eq!(models, ["Edit", "Server", "Edit"]);
    assert!(luau[0]["code"].as_str().unwrap().contains("return {} -- the script"));
    assert!(luau[2]["code"].as_str().unwrap().contains("FinishRecordingOperation.Cancel"));
    assert!(asked[1..].iter().all(|call| call["arguments"]["studio_id"] == "08b776ed-0330-44f6-8378-c6eea82b3f38"));
    // Nothing is played where there is nothing to check in a game.
    let (verdict, asked) = judged("good", "racing.rbxl", Has { check_game: false, ..BOTH }, QUICK).await;
    assert_eq!((verdict.unwrap().outcome, tools(&asked).len()), (Outcome::Passed, 3));
}

#[tokio::test]
async fn what_studio_says_is_a_verdict_or_says_nothing_of_the_program() {
    for (way, outcome, said) in [
        ("bad scene", Outcome::Failed, "no Part"),
        ("bad game", Outcome::Failed, "Time is not changing"),
        ("setup", Outcome::NoVerdict, "setup failed: no Car"),
        ("clients", Outcome::NoVerdict, "clients"),
        ("error", Outcome::NoVerdict, "Edit datamodel is not available"),
        ("forged", Outcome::NoVerdict, "did not say what came of it"),
        ("stuck", Outcome::NoVerdict, "did not start"),
    ] {
        let (verdict, asked) = judged(way, "racing.rbxl", BOTH, QUICK).await;
        let verdict = verdict.unwrap();
        assert_eq!(verdict.outcome, outcome, "{way}: {verdict:?}");
        assert!(verdict.why.contains(said), "{way}: {}", verdict.why);
        let last = &asked.last().unwrap()["arguments"];
        assert!(last["code"].as_str().unwrap().contains("FinishRecording"), "{way} is taken back");
    }
    // In another place nothing is run.
    let (verdict, asked) = judged("good", "village.rbxl", BOTH, QUICK).await;
    assert!(verdict.unwrap().why.contains("village.rbxl, which is not open"));
    assert_eq!(tools(&asked), ["list_roblox_studios"]);
}

#[tokio::test]
async fn a_studio_that_cannot_be_driven_is_told_as_what_it_is() {
    let short = Patience { call: Duration::from_millis(500), script: Duration::from_millis(500), ..QUICK };
    let error =
        |way: &'static str, patience| async move { judged(way, "racing.rbxl", BOTH, patience).await.0.unwrap_err() };
    assert_eq!(error("lacks", QUICK).await, StudioError::Lacks("execute_luau"));
    assert_eq!(error("none", QUICK).await, StudioError::None);
    assert_eq!(error("many", QUICK).await, StudioError::Many(2));
    assert!(matches!(error("mute", short).await, StudioError::Start(_)));
    assert!(matches!(error("hangs", short).await, StudioError::Hangs("execute_luau", _)));
    // A line of 40 MB is not kept, and so nothing was answered.
    let patient = Patience { script: Duration::from_secs(3), ..QUICK };
    assert!(matches!(error("huge", patient).await, StudioError::Hangs("execute_luau", _)));
    let nobody = Studio::open(std::path::Path::new("/nowhere/StudioMCP"), QUICK).await.unwrap_err();
    assert!(nobody.to_string().contains("/nowhere/StudioMCP"), "{nobody}");
    // One that talks beside the protocol is understood all the same.
    let (verdict, _) = judged("noisy", "racing.rbxl", BOTH, QUICK).await;
    assert_eq!(verdict.unwrap().outcome, Outcome::Passed);
}
