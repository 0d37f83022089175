//! The Luau that Studio is given: an eval run in edit mode, its checks while the game is played, and all of it taken back.
//!
//! Each says one line behind a mark: the mark, a space and JSON. The program under judgement runs in a module, from where the mark cannot
//! be named, so that what it prints is not taken for ours.

/// What the module with the eval is called, within ServerStorage.
const MODULE: &str = "VertigoEval";

/// What all of them begin with.
const HEAD: &str = "local Storage = game:GetService(\"ServerStorage\")
local function text(problem)
	return string.sub(tostring(problem), 1, 2000)
end
local function say(said)
	return MARK .. \" \" .. game:GetService(\"HttpService\"):JSONEncode(said)
end
local function check(said, what)
	if type(what) ~= \"function\" then
		return
	end
	local held, problem = pcall(what)
	said.checks += 1
	if held then
		said.passes += 1
	else
		said.fails += 1
		said.error = text(problem)
	end
end
";

/// Runs the eval in `script` as far as edit mode goes. Its setup is not the program's: where that breaks nothing is said of the program.
pub(super) fn edit(mark: &str, script: &str, has_checks: bool) -> String {
    let body = "if not game:FindFirstChild(\"LoadedCode\") then
	return say({nothing = \"the place has no LoadedCode: open it as OpenGameEval's runner does\"})
end
local old = Storage:FindFirstChild(MODULE)
if old then
	old:Destroy()
end
local recording = game:GetService(\"ChangeHistoryService\"):TryBeginRecording(\"Vertigo\")
if not recording then
	return say({nothing = \"Studio records no changes now, so they could not be taken back\"})
end
local module = Instance.new(\"ModuleScript\")
module.Name = MODULE
module.Source = SOURCE
module:SetAttribute(\"Recording\", recording)
module.Parent = Storage
local loaded, eval = pcall(require, module)
if not loaded then
	return say({nothing = \"the eval does not load: \" .. text(eval)})
end
local set, problem = pcall(eval.setup)
if not set then
	return say({nothing = \"the eval's setup failed: \" .. text(problem)})
end
local said = {mode = \"[EDIT]\", passes = 0, fails = 0, checks = 0, error = \"\", clients = 0, server = false}
local config = eval.runConfig
if type(config) == \"table\" then
	said.clients = type(config.clientChecks) == \"table\" and #config.clientChecks or 0
	said.server = type(config.serverCheck) == \"function\"
end
local ran, broke = pcall(eval.reference)
if not ran then
	said.error = text(broke)
	return say(said)
end
CHECK
return say(said)
";
    let check = if has_checks { "check(said, eval.check_scene)" } else { "" };
    let locals = format!("local MARK = {mark:?}\nlocal MODULE = {MODULE:?}\nlocal SOURCE = {}\n", long(script));
    [&locals, HEAD, &body.replacen("CHECK\n", &format!("{check}\n"), 1)].concat()
}

/// Checks the game that is played, on its server.
pub(super) fn server(mark: &str) -> String {
    let body = "local module = Storage:FindFirstChild(MODULE)
if not module then
	return say({nothing = \"the game that was started has not the eval in it\"})
end
local loaded, eval = pcall(require, module)
if not loaded then
	return say({nothing = \"the eval does not load in the game: \" .. text(eval)})
end
local said = {mode = \"[SERVER]\", passes = 0, fails = 0, checks = 0, error = \"\", clients = 0, server = false}
check(said, eval.check_game)
if said.fails == 0 and type(eval.runConfig) == \"table\" then
	check(said, eval.runConfig.serverCheck)
end
return say(said)
";
    format!("local MARK = {mark:?}\nlocal MODULE = {MODULE:?}\n{HEAD}{body}")
}

/// Takes back what was done in edit mode.
pub(super) fn back() -> String {
    format!(
        "local module = game:GetService(\"ServerStorage\"):FindFirstChild({MODULE:?})
if module then
	local recording = module:GetAttribute(\"Recording\")
	if recording then
		local operation = Enum.FinishRecordingOperation.Cancel
		game:GetService(\"ChangeHistoryService\"):FinishRecording(recording, operation)
	end
	module:Destroy()
end
"
    )
}

/// A text between brackets that it does not have in it.
fn long(text: &str) -> String {
    let equals = (0..).map(|n| "=".repeat(n)).find(|equals| !text.contains(&format!("]{equals}")));
    // A text ends, so that some number of signs is not in it.
    let equals = equals.unwrap_or_default();
    // The first line's end is no part of such a text.
    format!("[{equals}[\n{text}]{equals}]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use luau_syntax::parser::{ParseOptions, ParsedSource};

    fn parses(code: &str) {
        let parsed = ParsedSource::parse(code, ParseOptions::default()).unwrap();
        assert!(parsed.metadata().errors.is_empty(), "{:?}\n{code}", parsed.metadata().errors);
    }

    #[test]
    fn what_is_sent_is_luau_whatever_the_script_is() {
        for script in ["return {}", "", "x = [[a]] y = [==[b]==] ]] ]===]", "]", "ends in ]=", "\n\n]]"] {
            for has_checks in [false, true] {
                let code = edit("vertigo-1", script, has_checks);
                parses(&code);
                assert!(code.contains(&format!("[\n{script}]")), "{code}");
                assert_eq!(code.contains("check_scene"), has_checks);
            }
        }
        parses(&server("vertigo-1"));
        parses(&back());
    }
}
