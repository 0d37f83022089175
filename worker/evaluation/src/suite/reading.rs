//! A task and what holds for all of them, read from the tables that YAML or JSON gave.

use super::fields::{Fields, NAME_BYTES_MAX, Place, SuiteError, TEXT_BYTES_MAX};
use super::task::{
    AnswerFrom, ArgumentWanted, CallWanted, CallsWanted, Check, Reference, RobloxEval, Task, Thinking, What, Wrong,
};
use super::{About, Defaults};
use crate::answer::{Call, Wanted};
use crate::python::Case;
use crate::room::ModuleKind;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The most tokens that a bound may allow.
const TOKENS_MAX: u32 = 262_144;

/// The most answers to a task.
const SAMPLES_MAX: u32 = 1000;

/// The largest weight of a check, and the smallest.
const WEIGHT_MAX: f64 = 1000.0;
const WEIGHT_MIN: f64 = 0.001;

/// The other files of a suite, which a task may name.
pub(super) type Files<'f> = &'f BTreeMap<String, String>;

pub(super) fn about(file: &str, value: Value) -> Result<About, SuiteError> {
    let mut fields = Place::at(file).fields(value)?;
    let name = fields.name("name")?;
    let description = fields.text("description")?.unwrap_or_default();
    let system = fields.text("system")?;
    let mut categories = BTreeMap::new();
    if let Some((place, value)) = fields.take("categories") {
        let Value::Object(map) = value else {
            return Err(place.error("is no table; write each category's name with what it is about"));
        };
        for (name, about) in map {
            categories.insert(name.clone(), place.key(&name).text(about, TEXT_BYTES_MAX)?);
        }
    }
    let mut defaults = Defaults::default();
    if let Some((place, value)) = fields.take("defaults") {
        let mut fields = place.fields(value)?;
        defaults.tokens_max = fields.whole("tokens_max", 1, TOKENS_MAX)?.unwrap_or(defaults.tokens_max);
        defaults.samples = fields.whole("samples", 1, SAMPLES_MAX)?.unwrap_or(defaults.samples);
        defaults.thinking = thinking(&mut fields)?.unwrap_or(defaults.thinking);
        defaults.temperature = fields.number("temperature", 0.0, 2.0)?.unwrap_or(defaults.temperature);
        fields.finish()?;
    }
    fields.finish()?;
    Ok(About { name, description, system, categories, defaults })
}

pub(super) fn task(file: &str, value: Value, files: Files<'_>) -> Result<Task, SuiteError> {
    let mut fields = Place::at(file).fields(value)?;
    let id = fields.name("id")?;
    if !id.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)) {
        return Err(fields.place.key("id").error(format!("is `{id}`; write letters, digits, `.`, `-` and `_`")));
    }
    let task = Task {
        category: fields.name("category")?,
        // At most five.
        difficulty: fields.whole("difficulty", 1, 5)?.map(|difficulty| difficulty as u8),
        messages: messages(&mut fields)?,
        tools: tools(&mut fields)?,
        tokens_max: fields.whole("tokens_max", 1, TOKENS_MAX)?,
        thinking: thinking(&mut fields)?,
        modules: modules(&mut fields)?,
        answer_from: answer_from(&mut fields)?,
        checks: checks(&mut fields, files)?,
        reference: fields.take("reference").map(|(place, value)| reference(&place, value)).transpose()?,
        wrong: wrong(&mut fields)?,
        roblox: roblox(&mut fields, files)?,
        id,
    };
    agrees(&fields.place, &task)?;
    fields.finish()?;
    Ok(task)
}

/// What no key can say alone.
fn agrees(place: &Place<'_>, task: &Task) -> Result<(), SuiteError> {
    let tools = task.tool_names();
    let named = task.checks.iter().flat_map(|check| match &check.what {
        What::ToolCalls(wanted) => {
            let calls = wanted.calls.iter().map(|call| &call.name);
            calls.chain(&wanted.forbidden).collect()
        }
        _ => Vec::new(),
    });
    for tool in named.chain(task.answer_from.iter().map(|from| &from.tool)) {
        if !tools.contains(tool) {
            let hint = match vertigo::spelling::nearest(tool, tools.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "add it to `tools`".to_owned(),
            };
            return Err(place.error(format!("`{tool}` is no tool of the task; {hint}")));
        }
    }
    if task.answer_from.is_some() && !task.modules.is_empty() {
        return Err(
            place.error("`answer_from` makes the script `answer` of a call, and `modules` wants others; keep one")
        );
    }
    Ok(())
}

fn thinking(fields: &mut Fields<'_>) -> Result<Option<Thinking>, SuiteError> {
    let Some((place, value)) = fields.take("thinking") else { return Ok(None) };
    const TOKENS_MORE: u32 = TOKENS_MAX + 1;
    match Thinking::try_from(value.clone()) {
        Ok(Thinking::Tokens(TOKENS_MORE..)) | Err(_) => {
            Err(place.error(format!("is {value}; write `false`, or how many tokens it may take up to {TOKENS_MAX}")))
        }
        Ok(thinking) => Ok(Some(thinking)),
    }
}

fn messages(fields: &mut Fields<'_>) -> Result<Vec<Value>, SuiteError> {
    let prompt = fields.take("prompt");
    let (place, listed) = match (fields.take("messages"), prompt) {
        (None, Some((place, value))) => {
            return Ok(vec![json!({"role": "user", "content": place.text(value, TEXT_BYTES_MAX)?})]);
        }
        (Some((place, value)), None) => (place, value),
        (Some((place, _)), Some(_)) => return Err(place.error("stands beside `prompt`; keep one of them")),
        (None, None) => return Err(fields.place.error("lacks the key `prompt`; write what the person asks")),
    };
    let mut messages = Vec::new();
    for (place, item) in place.list(listed)? {
        let mut message = place.fields(item)?;
        let (role_place, role) = message.required("role")?;
        let role = role_place.text(role, NAME_BYTES_MAX)?;
        if !["system", "user", "assistant", "tool"].contains(&role.as_str()) {
            return Err(role_place.error(format!("is `{role}`; write system, user, assistant or tool")));
        }
        let mut out = json!({"role": role});
        if let Some(content) = message.text("content")? {
            out["content"] = content.into();
        }
        for key in ["tool_calls", "tool_call_id", "name"] {
            if let Some((place, value)) = message.take(key) {
                out[key] = place.value(value)?;
            }
        }
        message.finish()?;
        messages.push(out);
    }
    if !messages.iter().any(|message| message["role"] == "user") {
        return Err(place.error("has no message of a user"));
    }
    Ok(messages)
}

fn tools(fields: &mut Fields<'_>) -> Result<Vec<Value>, SuiteError> {
    let Some((place, listed)) = fields.take("tools") else { return Ok(Vec::new()) };
    let mut tools: Vec<Value> = Vec::new();
    for (place, tool) in place.list(listed)? {
        let tool = place.value(tool)?;
        // A bare function is a tool as well: there is no other kind.
        let tool = if tool.get("function").is_none() && tool.get("name").is_some() {
            json!({"type": "function", "function": tool})
        } else {
            tool
        };
        let Some(name) = tool["function"]["name"].as_str() else {
            return Err(place.error("lacks `function.name`; write a tool as OpenAI's API has it"));
        };
        if tools.iter().any(|other| other["function"]["name"] == name) {
            return Err(place.error(format!("is a second tool `{name}`")));
        }
        tools.push(tool);
    }
    Ok(tools)
}

fn modules(fields: &mut Fields<'_>) -> Result<Vec<Wanted>, SuiteError> {
    let Some((place, listed)) = fields.take("modules") else { return Ok(Vec::new()) };
    let mut modules: Vec<Wanted> = Vec::new();
    for (place, item) in place.list(listed)? {
        let mut fields = place.fields(item)?;
        let path = fields.name("path")?;
        let kind = match fields.take("kind") {
            None => ModuleKind::Module,
            Some((place, value)) => serde_json::from_value(value.clone())
                .map_err(|_| place.error(format!("is {value}; write Module, Server or Client")))?,
        };
        fields.finish()?;
        if path.split('/').any(str::is_empty) || path.contains(['\\', '.']) {
            return Err(place.error(format!("is at `{path}`; write a path such as ReplicatedStorage/Shared/Score")));
        }
        if modules.iter().any(|other| other.path.eq_ignore_ascii_case(&path)) {
            return Err(place.error(format!("is a second script at `{path}`")));
        }
        modules.push(Wanted { path, kind });
    }
    Ok(modules)
}

fn answer_from(fields: &mut Fields<'_>) -> Result<Option<AnswerFrom>, SuiteError> {
    let Some((place, value)) = fields.take("answer_from") else { return Ok(None) };
    let mut fields = place.fields(value)?;
    let from = AnswerFrom { tool: fields.name("tool")?, argument: fields.name("argument")? };
    fields.finish()?;
    Ok(Some(from))
}

fn wrong(fields: &mut Fields<'_>) -> Result<Vec<Wrong>, SuiteError> {
    let Some((place, listed)) = fields.take("wrong") else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for (place, item) in place.list(listed)? {
        let mut fields = place.fields(item)?;
        let why = fields.text("why")?.ok_or_else(|| place.error("lacks the key `why`; say what is wrong with it"))?;
        let (answer_place, answer) = fields.required("answer")?;
        let answer = reference(&answer_place, answer)?;
        fields.finish()?;
        all.push(Wrong { why, answer });
    }
    Ok(all)
}

/// A text, or a text with calls.
fn reference(place: &Place<'_>, value: Value) -> Result<Reference, SuiteError> {
    if value.is_string() {
        return Ok(Reference { text: place.text(value, TEXT_BYTES_MAX)?, tool_calls: Vec::new() });
    }
    let mut fields = place.fields(value)?;
    let text = fields.text("text")?.unwrap_or_default();
    let mut tool_calls = Vec::new();
    if let Some((place, listed)) = fields.take("tool_calls") {
        for (place, item) in place.list(listed)? {
            let mut fields = place.fields(item)?;
            let name = fields.name("name")?;
            let arguments = match fields.take("arguments") {
                Some((place, value)) if value.is_object() => place.value(value)?,
                Some((place, _)) => return Err(place.error("is no table of arguments")),
                None => json!({}),
            };
            fields.finish()?;
            tool_calls.push(Call { name, arguments });
        }
    }
    fields.finish()?;
    Ok(Reference { text, tool_calls })
}

fn roblox(fields: &mut Fields<'_>, files: Files<'_>) -> Result<Option<RobloxEval>, SuiteError> {
    let Some((place, value)) = fields.take("roblox") else { return Ok(None) };
    let mut fields = place.fields(value)?;
    let source = text_or_file(&mut fields, "source", files)?;
    let eval = RobloxEval { source, place: fields.name("place")?, tags: fields.names("tags")? };
    fields.finish()?;
    Ok(Some(eval))
}

/// A text under `key`, or that of the file which `file` names.
fn text_or_file(fields: &mut Fields<'_>, key: &'static str, files: Files<'_>) -> Result<String, SuiteError> {
    let text = fields.text(key)?;
    match (text, fields.take("file")) {
        (Some(text), None) => Ok(text),
        (None, Some((place, path))) => {
            let path = place.text(path, NAME_BYTES_MAX)?;
            match files.get(&path) {
                Some(text) if text.len() <= TEXT_BYTES_MAX => Ok(text.clone()),
                Some(text) => {
                    Err(place.error(format!("is `{path}` of {} bytes; at most {TEXT_BYTES_MAX} are read", text.len())))
                }
                None => Err(place.error(format!("is `{path}`, which the suite's folder does not have"))),
            }
        }
        (Some(_), Some((place, _))) => Err(place.error(format!("stands beside `{key}`; keep one of them"))),
        (None, None) => Err(fields.place.error(format!("lacks the key `{key}`, or `file`"))),
    }
}

fn checks(fields: &mut Fields<'_>, files: Files<'_>) -> Result<Vec<Check>, SuiteError> {
    let (place, value) = fields.required("checks")?;
    let mut fields = place.fields(value)?;
    let forbidden = fields.names("forbid_tool_calls")?;
    let mut checks = Vec::new();
    for (key, what) in [
        ("compile", What::Compile),
        ("lint", What::Lint { deny: Vec::new() }),
        ("types", What::Types),
        ("opengameeval_dry_run", What::OpenGameEvalDryRun),
    ] {
        checks.extend(fields.take(key).map(|(place, value)| plain(&place, value, what)).transpose()?.flatten());
    }
    if let Some((place, value)) = fields.take("patterns") {
        checks.push(listed(&place, value, "all", Case::Told, |all| What::Patterns { all })?);
    }
    if let Some((place, value)) = fields.take("benchmark_v2") {
        checks.push(listed(&place, value, "patterns", Case::Ignored, |patterns| What::BenchmarkV2 { patterns })?);
    }
    match fields.take("tool_calls") {
        Some((place, value)) => checks.push(tool_calls(&place, value, forbidden)?),
        None if !forbidden.is_empty() => {
            let what = What::ToolCalls(CallsWanted { forbidden, ..CallsWanted::default() });
            checks.push(Check { weight: 1.0, decides: true, what });
        }
        None => {}
    }
    if let Some((place, value)) = fields.take("run") {
        let value = if value.is_string() { json!({"test": value}) } else { value };
        let mut fields = place.fields(value)?;
        let test = text_or_file(&mut fields, "test", files)?;
        checks.push(weighed(fields, What::Run { test })?);
    }
    fields.finish()?;
    if checks.is_empty() {
        return Err(place.error("asks nothing; write at least one check, such as `compile: true`"));
    }
    // One order, however they were written.
    checks.sort_by_key(|check| check.what.name());
    Ok(checks)
}

/// A check that needs no more than to be asked for; a lint may name which.
fn plain(place: &Place<'_>, value: Value, what: What) -> Result<Option<Check>, SuiteError> {
    if let Value::Bool(wanted) = value {
        let decides = what.decides();
        return Ok(wanted.then_some(Check { what, weight: 1.0, decides }));
    }
    let mut fields = place.fields(value)?;
    let what = if let What::Lint { .. } = what { What::Lint { deny: fields.names("deny")? } } else { what };
    weighed(fields, what).map(Some)
}

/// A check of a list of patterns: the list itself, or a table that has it under `key`.
fn listed(
    place: &Place<'_>,
    value: Value,
    key: &'static str,
    case: Case,
    what: impl Fn(Vec<String>) -> What,
) -> Result<Check, SuiteError> {
    let (fields, place, list) = short_or_table(place, value, key)?;
    let what = what(place.patterns(list, case)?);
    weighed(fields, what)
}

/// A list that is all of a check, or stands under `key` in its table: the table's other keys, the list's place, the list.
fn short_or_table<'f>(
    place: &Place<'f>,
    value: Value,
    key: &'static str,
) -> Result<(Fields<'f>, Place<'f>, Value), SuiteError> {
    if value.is_array() {
        return Ok((place.fields(json!({}))?, place.clone(), value));
    }
    let mut fields = place.fields(value)?;
    let (place, list) = fields.required(key)?;
    Ok((fields, place, list))
}

fn tool_calls(place: &Place<'_>, value: Value, forbidden: Vec<String>) -> Result<Check, SuiteError> {
    let (mut fields, place, listed) = short_or_table(place, value, "calls")?;
    let mut wanted = CallsWanted { forbidden, is_exact: fields.flag("exactly")?.unwrap_or(false), calls: Vec::new() };
    wanted.forbidden.extend(fields.names("forbidden")?);
    for (place, item) in place.list(listed)? {
        let mut fields = place.fields(item)?;
        let name = fields.name("name")?;
        let mut arguments = BTreeMap::new();
        if let Some((place, value)) = fields.take("arguments") {
            let Value::Object(map) = value else { return Err(place.error("is no table of arguments")) };
            for (name, want) in map {
                let want = argument(&place.key(&name), want)?;
                arguments.insert(name, want);
            }
        }
        fields.finish()?;
        wanted.calls.push(CallWanted { name, arguments });
    }
    weighed(fields, What::ToolCalls(wanted))
}

/// What an argument has to be: `{pattern: …}`, `{is: …}` for a value that looks like one of these, or the value itself.
fn argument(place: &Place<'_>, want: Value) -> Result<ArgumentWanted, SuiteError> {
    match want {
        Value::Object(mut map) if map.len() == 1 && (map.contains_key("pattern") || map.contains_key("is")) => {
            match map.shift_remove("pattern") {
                Some(pattern) => place.key("pattern").pattern(pattern, Case::Told).map(ArgumentWanted::Matches),
                None => place.value(map.shift_remove("is").unwrap_or_default()).map(ArgumentWanted::Is),
            }
        }
        value => place.value(value).map(ArgumentWanted::Is),
    }
}

/// The rest of a check's table: what it counts, and whether it decides.
fn weighed(mut fields: Fields<'_>, what: What) -> Result<Check, SuiteError> {
    let weight = fields.number("weight", WEIGHT_MIN, WEIGHT_MAX)?.unwrap_or(1.0);
    let decides = fields.flag("decides")?.unwrap_or(what.decides());
    if decides && matches!(what, What::BenchmarkV2 { .. }) {
        return Err(fields
            .place
            .key("decides")
            .error("is true, but the benchmark gives a score and no pass; leave it out"));
    }
    fields.finish()?;
    Ok(Check { what, weight, decides })
}
