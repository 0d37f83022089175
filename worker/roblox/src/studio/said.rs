//! What Studio says: our own scripts' lines behind their mark, and its state. Pure.

use serde::Deserialize;
use vertigo::bounds::shorten;
use vertigo_evaluation::roblox::{Run, TEXT_BYTES_MAX};

/// What a script of ours says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// What was checked.
    Run(Checked),
    /// Why nothing can be said of the program.
    Nothing(String),
}

/// What was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) run: Run,
    /// Checks that run in the game's clients.
    pub(super) clients: u32,
    /// Whether there is one that runs on the game's server beside `check_game`.
    pub(super) has_server_check: bool,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    nothing: Option<String>,
    #[serde(default)]
    mode: String,
    #[serde(default)]
    passes: u32,
    #[serde(default)]
    fails: u32,
    #[serde(default)]
    checks: u32,
    #[serde(default)]
    error: String,
    #[serde(default)]
    clients: u32,
    #[serde(default)]
    server: bool,
}

/// Reads what stands behind the mark: one value of JSON, whatever Studio says before and after it.
pub(super) fn read(text: &str, mark: &str, is_error: bool) -> Said {
    let nothing = |what: &str| Said::Nothing(format!("{what}: {}", shorten(text, TEXT_BYTES_MAX / 4)));
    if is_error {
        return nothing("Studio did not run it");
    }
    let Some((_, after)) = text.rsplit_once(mark) else { return nothing("Studio did not say what came of it") };
    let after = after.trim_start();
    let value = read_value(after).or_else(|| read_value(&unquoted(after)));
    let Some(line) = value else { return nothing("Studio's answer is none") };
    let cut = |text: &str| shorten(text, TEXT_BYTES_MAX).into_owned();
    match line.nothing {
        Some(why) => Said::Nothing(cut(&why)),
        None => Said::Run(Checked {
            run: Run {
                mode: cut(&line.mode),
                passes: line.passes,
                fails: line.fails,
                checks: line.checks,
                error: cut(&line.error),
                ..Run::default()
            },
            clients: line.clients,
            has_server_check: line.server,
        }),
    }
}

fn read_value(text: &str) -> Option<Line> {
    serde_json::Deserializer::from_str(text).into_iter::<Line>().next()?.ok()
}

/// A text that was said as a string within JSON.
fn unquoted(text: &str) -> String {
    text.replace("\\\"", "\"").replace("\\\\", "\\")
}

/// The data models that a state names.
pub(super) fn models(state: &str) -> Vec<String> {
    let available = state.lines().filter(|line| line.to_lowercase().contains("datamodel"));
    let words = available.filter(|line| !line.to_lowercase().contains("focused"));
    let words = words.flat_map(|line| line.split(|c: char| !c.is_alphanumeric()));
    words.filter(|word| ["Edit", "Server", "Client"].contains(word)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_behind_its_mark_is_read_whatever_stands_around_it() {
        let json = r#"{"mode":"[EDIT]","passes":1,"fails":0,"checks":1,"error":"","clients":2,"server":true}"#;
        let quoted = json.replace('"', "\\\"");
        for text in [
            format!("v-1 {json}"),
            format!("Returned:\nv-1 {json}\n(end)"),
            format!("v-1 {{\"fails\":9}} printed before\nv-1 {json}"),
            format!("[\"v-1 {quoted}\"]"),
        ] {
            let Said::Run(checked) = read(&text, "v-1", false) else { panic!("{text}") };
            assert_eq!((checked.run.passes, checked.clients, checked.has_server_check), (1, 2, true), "{text}");
        }
        for (text, is_error) in [("no mark", false), ("v-1 rubbish", false), (format!("v-1 {json}").as_str(), true)] {
            assert!(matches!(read(text, "v-1", is_error), Said::Nothing(_)), "{text}");
        }
        assert_eq!(read("v-1 {\"nothing\":\"why\"}", "v-1", false), Said::Nothing("why".to_owned()));
    }

    #[test]
    fn a_state_names_the_data_models_that_there_are() {
        let playing =
            "Current Studio Mode: Play\nAvailable DataModels: Client, Server\nFocused DataModel in the viewport: Edit";
        assert_eq!(models(playing), ["Client", "Server"]);
        assert_eq!(models("{\"available_datamodels\": [\"Edit\"]}"), ["Edit"]);
        assert!(models("Current Studio Mode: Edit").is_empty());
    }
}
