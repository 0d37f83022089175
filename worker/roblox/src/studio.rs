//! A Studio that is open on this machine, driven through the MCP server that comes with it.
//!
//! Source of the tools, their names and arguments: `studio/mcp.md` of Roblox's creator-docs (every call names its Studio; `execute_luau`
//! wants a `datamodel_type`); that playing is started and stopped by `is_start` stands in public reports of its catalog. What the answers'
//! texts look like is not documented: of a list of Studios its ids are looked for, of a state the names of data models, and what our own
//! scripts say stands behind a mark that no program can know.
//!
//! A person opens the place of the evals in Studio, with OpenGameEval's `LoadedCode` in it. For an answer its eval becomes a module there;
//! its setup, its reference and its checks of the scene run in edit mode, its checks of the game on the server of a game that is started
//! for that; then all of it is taken back by cancelling the recording that it was made under.
//!
//! Promise: one Studio, and the right place, or nothing is run. Every call has an end. What was begun is stopped and taken back whatever
//! came of it.

mod chunk;
mod said;

use crate::script::Has;
use rmcp::model::{CallToolRequestParams, CallToolResult, JsonObject};
use rmcp::service::RunningService;
use rmcp::transport::TokioChildProcess;
use rmcp::{RoleClient, ServiceExt};
use said::Said;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use thiserror::Error;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;
use vertigo::bounds::shorten;
use vertigo_evaluation::roblox::{Outcome, Run, Verdict};

/// Studio's own MCP server, on a Mac.
pub const COMMAND: &str = "/Applications/RobloxStudio.app/Contents/MacOS/StudioMCP";

/// The tools that are called.
const TOOLS: [&str; 4] = ["execute_luau", "get_studio_state", "list_roblox_studios", "start_stop_play"];

/// A text of Studio's is told up to this, in bytes.
const TEXT_BYTES_MAX: usize = 500;

/// How long is waited for what.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For the server to begin, and for calls that run nothing.
    pub call: Duration,
    /// For scripts: an eval has 300 s in OpenGameEval's own runner.
    pub script: Duration,
    /// For a game to start or stop.
    pub play: Duration,
    /// Between two looks at whether it has.
    pub look_every: Duration,
}

/// As OpenGameEval's own runner has it.
pub const PATIENCE: Patience = Patience {
    call: Duration::from_secs(30),
    script: Duration::from_secs(300),
    play: Duration::from_secs(60),
    look_every: Duration::from_secs(1),
};

/// Why a Studio cannot be driven, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StudioError {
    /// Its server does not start.
    #[error("Studio's MCP server does not start: {0}; it comes with Roblox Studio on a Mac")]
    Start(String),
    /// It lacks a tool.
    #[error("Studio's MCP server has no tool `{0}`: turn on `Enable Studio as MCP server` in Studio, or update it")]
    Lacks(&'static str),
    /// No place is open.
    #[error("no Studio is connected: open the place of the evals, and turn on `Enable Studio as MCP server`")]
    None,
    /// More than one place is open.
    #[error("{0} Studios are connected, and nobody says which is meant: leave one open")]
    Many(usize),
    /// It says nothing any more.
    #[error("Studio did not answer `{0}` in {1} s: it hangs, and has to be started again")]
    Hangs(&'static str, u64),
    /// The connection is gone.
    #[error("the connection to Studio is lost: {0}")]
    Lost(String),
}

/// A Studio.
#[derive(Debug)]
pub struct Studio {
    service: RunningService<RoleClient, ()>,
    patience: Patience,
    id: String,
    /// What it says of itself: its name, and so the name of its place, is in it.
    listed: String,
}

impl Studio {
    /// Starts the server and finds the one Studio that is connected to it.
    ///
    /// # Errors
    /// See [`StudioError`].
    pub async fn open(command: &Path, patience: Patience) -> Result<Studio, StudioError> {
        let start = |problem: String| StudioError::Start(format!("{}: {problem}", command.display()));
        let mut child = Command::new(command);
        child.kill_on_drop(true);
        let spawned = TokioChildProcess::builder(child).stderr(Stdio::null()).spawn();
        let (transport, _) = spawned.map_err(|error| start(error.to_string()))?;
        let served = timeout(patience.call, ().serve(transport)).await;
        let served = served.map_err(|_| start(format!("it says nothing for {} s", patience.call.as_secs())))?;
        let service = served.map_err(|error| start(shorten(&error.to_string(), TEXT_BYTES_MAX).into_owned()))?;
        let mut studio = Studio { service, patience, id: String::new(), listed: String::new() };
        let tools = timeout(patience.call, studio.service.list_all_tools()).await;
        let tools = tools.map_err(|_| StudioError::Hangs("tools/list", patience.call.as_secs()))?;
        let tools =
            tools.map_err(|error| StudioError::Lost(shorten(&error.to_string(), TEXT_BYTES_MAX).into_owned()))?;
        if let Some(lacks) = TOOLS.into_iter().find(|name| !tools.iter().any(|tool| tool.name == *name)) {
            return Err(StudioError::Lacks(lacks));
        }
        let listed = studio.ask("list_roblox_studios", json!({}), patience.call).await?;
        let ids = ids(&listed.text);
        match ids.len() {
            0 => Err(StudioError::None),
            1 => {
                (studio.id, studio.listed) = (ids.into_iter().next().unwrap_or_default(), listed.text);
                Ok(studio)
            }
            many => Err(StudioError::Many(many)),
        }
    }

    /// Judges a script, whose eval is of `place` and has checks as `has` says.
    ///
    /// # Errors
    /// Studio hangs or is gone. That it says nothing of the script is no error but a verdict.
    pub async fn judge(&self, place: &str, has: Has, script: &str) -> Result<Verdict, StudioError> {
        let name = place.strip_suffix(".rbxl").unwrap_or(place);
        if name.is_empty() || !self.listed.to_lowercase().contains(&name.to_lowercase()) {
            return Ok(nothing(format!("it is an eval of the place {place}, which is not open in Studio"), Vec::new()));
        }
        let judged = self.run(has, script).await;
        // Whatever came of it; where Studio hangs there is nothing to be taken back.
        let back = match &judged {
            Err(_) => Ok(()),
            Ok(_) => self.luau("Edit", |_| chunk::back()).await.map(drop),
        };
        let verdict = judged?;
        back.map(|()| verdict)
    }

    /// Ends the server.
    pub async fn close(self) {
        // A server that does not end is killed when its handle goes.
        let _ = timeout(self.patience.call, self.service.cancel()).await;
    }

    async fn run(&self, has: Has, script: &str) -> Result<Verdict, StudioError> {
        let edit = self.luau("Edit", |mark| chunk::edit(mark, script, has.check_scene)).await?;
        let edit = match edit {
            Said::Run(edit) => edit,
            Said::Nothing(why) => return Ok(nothing(why, Vec::new())),
        };
        if edit.clients > 0 {
            let why = "its checks run in the game's clients, which Studio's MCP server is not driven in".to_owned();
            return Ok(nothing(why, vec![edit.run]));
        }
        let mut runs = vec![edit.run];
        if (has.check_game || edit.has_server_check) && !is_failed(&runs) {
            match self.play().await? {
                Said::Run(server) => runs.push(server.run),
                Said::Nothing(why) => return Ok(nothing(why, runs)),
            }
        }
        Ok(verdict(runs))
    }

    /// Checks the game while it is played.
    async fn play(&self) -> Result<Said, StudioError> {
        self.ask("start_stop_play", json!({"is_start": true}), self.patience.play).await?;
        let is_up = self.reaches("Server").await?;
        let said = if is_up {
            self.luau("Server", chunk::server).await?
        } else {
            Said::Nothing("the game did not start".to_owned())
        };
        self.ask("start_stop_play", json!({"is_start": false}), self.patience.play).await?;
        if !self.reaches("Edit").await? {
            return Err(StudioError::Hangs("start_stop_play", self.patience.play.as_secs()));
        }
        Ok(said)
    }

    /// Whether Studio comes to have a data model, in the time that it has for that.
    async fn reaches(&self, model: &str) -> Result<bool, StudioError> {
        let deadline = Instant::now() + self.patience.play;
        loop {
            let state = self.ask("get_studio_state", json!({}), self.patience.call).await?;
            if said::models(&state.text).iter().any(|it| it == model) {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            sleep(self.patience.look_every).await;
        }
    }

    /// Runs a script of ours, and reads what it says behind its mark.
    async fn luau(&self, model: &str, code: impl FnOnce(&str) -> String) -> Result<Said, StudioError> {
        let mark = format!("vertigo-{}", Uuid::now_v7());
        let arguments = json!({"code": code(&mark), "datamodel_type": model});
        let answer = self.ask("execute_luau", arguments, self.patience.script).await?;
        Ok(said::read(&answer.text, &mark, answer.is_error))
    }

    /// Calls a tool of the Studio.
    async fn ask(&self, tool: &'static str, arguments: Value, patience: Duration) -> Result<Answer, StudioError> {
        let mut arguments: JsonObject = arguments.as_object().cloned().unwrap_or_default();
        if !self.id.is_empty() {
            arguments.insert("studio_id".to_owned(), json!(self.id));
        }
        let call = self.service.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments));
        let called = timeout(patience, call).await.map_err(|_| StudioError::Hangs(tool, patience.as_secs()))?;
        called
            .map(Answer::of)
            .map_err(|error| StudioError::Lost(shorten(&error.to_string(), TEXT_BYTES_MAX).into_owned()))
    }
}

/// What a tool said.
struct Answer {
    text: String,
    is_error: bool,
}

impl Answer {
    fn of(result: CallToolResult) -> Answer {
        let texts = result.content.iter().filter_map(|block| block.as_text().map(|text| text.text.as_str()));
        let mut text = texts.collect::<Vec<_>>().join("\n");
        if let Some(structured) = &result.structured_content {
            text = format!("{text}\n{structured}");
        }
        Answer { text, is_error: result.is_error == Some(true) }
    }
}

/// The ids in a list of Studios, whatever its form.
fn ids(listed: &str) -> BTreeSet<String> {
    let words = listed.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
    words.filter(|word| word.len() == 36 && Uuid::try_parse(word).is_ok()).map(str::to_owned).collect()
}

fn nothing(why: String, runs: Vec<Run>) -> Verdict {
    Verdict::of(Outcome::NoVerdict, why, runs)
}

fn is_failed(runs: &[Run]) -> bool {
    runs.iter().any(|run| run.fails > 0 || !run.error.is_empty())
}

fn verdict(runs: Vec<Run>) -> Verdict {
    if let Some(failed) = runs.iter().find(|run| run.fails > 0 || !run.error.is_empty()) {
        let why = if failed.error.is_empty() { "a check failed".to_owned() } else { failed.error.clone() };
        return Verdict::of(Outcome::Failed, why, runs);
    }
    if runs.iter().all(|run| run.checks == 0) {
        return nothing("nothing was checked".to_owned(), runs);
    }
    Verdict::passed(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_in_lists_of_any_form_and_a_verdict_needs_a_check() {
        let (a, b) = ("08b776ed-0330-44f6-8378-c6eea82b3f38", "18b776ed-0330-44f6-8378-c6eea82b3f38");
        assert_eq!(ids(&format!("[{{\"name\":\"x\",\"id\":\"{a}\"}}]")).len(), 1);
        assert_eq!(ids(&format!("- racing ({a})\n- village ({b}), {a}")).len(), 2);
        assert_eq!(ids("none, not 08b776ed").len(), 0);
        let run = |passes, fails, error: &str| Run {
            passes,
            fails,
            checks: passes + fails,
            error: error.to_owned(),
            ..Run::default()
        };
        let of = |runs| verdict(runs).outcome;
        assert_eq!(of(vec![run(1, 0, ""), run(1, 0, "")]), Outcome::Passed);
        assert_eq!(of(vec![run(1, 0, ""), run(0, 1, "no Part")]), Outcome::Failed);
        assert_eq!(of(vec![run(0, 0, "it broke")]), Outcome::Failed);
        assert_eq!(of(vec![run(0, 0, "")]), Outcome::NoVerdict);
    }
}
