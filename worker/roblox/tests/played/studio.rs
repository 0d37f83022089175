//! A Studio's MCP server as a test wants it, over stdin and stdout: a line of JSON-RPC is answered with a line.
//!
//! A file beside it, `way`, says how it is played; what it was asked is written into another, `asked`.

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

const ID: &str = "08b776ed-0330-44f6-8378-c6eea82b3f38";

fn main() {
    // Beside the name that it was started by.
    let started = PathBuf::from(std::env::args().next().unwrap());
    let way = fs::read_to_string(started.with_file_name("way")).unwrap();
    let log = started.with_file_name("asked");
    let mut is_playing = false;
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let Ok(request) = serde_json::from_str::<Value>(&line) else { continue };
        let Some(id) = request.get("id").cloned() else { continue };
        let result = match request["method"].as_str().unwrap_or_default() {
            "initialize" if way == "mute" => continue,
            "initialize" => json!({
                "protocolVersion": request["params"]["protocolVersion"], "capabilities": {"tools": {}},
                "serverInfo": {"name": "Roblox_Studio", "version": "1"},
            }),
            "tools/list" => json!({"tools": tools(&way)}),
            "tools/call" => {
                let (name, arguments) =
                    (request["params"]["name"].as_str().unwrap_or_default(), &request["params"]["arguments"]);
                note(&log, name, arguments);
                match call(&way, name, arguments, &mut is_playing) {
                    Some(result) => result,
                    None => continue,
                }
            }
            _ => json!({}),
        };
        let mut out = std::io::stdout().lock();
        if way == "noisy" {
            // A server that says what is no protocol of anybody's.
            let _ = writeln!(out, "[Studio] a line of a log\n{{\"jsonrpc\": 7}}\n{}", "x".repeat(1 << 20));
        }
        let _ = writeln!(out, "{}", json!({"jsonrpc": "2.0", "id": id, "result": result}));
        let _ = out.flush();
    }
}

fn tools(way: &str) -> Vec<Value> {
    let names = ["execute_luau", "get_studio_state", "list_roblox_studios", "start_stop_play", "screen_capture"];
    let names = names.into_iter().filter(|name| way != "lacks" || *name != "execute_luau");
    names.map(|name| json!({"name": name, "description": "", "inputSchema": {"type": "object"}})).collect()
}

fn note(log: &Path, name: &str, arguments: &Value) {
    let file = fs::OpenOptions::new().create(true).append(true).open(log);
    let _ = file.and_then(|mut file| writeln!(file, "{}", json!({"tool": name, "arguments": arguments})));
}

fn text(text: impl Into<String>) -> Value {
    json!({"content": [{"type": "text", "text": text.into()}]})
}

fn call(way: &str, name: &str, arguments: &Value, is_playing: &mut bool) -> Option<Value> {
    if name != "list_roblox_studios" && arguments["studio_id"] != ID {
        return Some(json!({"isError": true, "content": [{"type": "text", "text": "which Studio?"}]}));
    }
    Some(match name {
        "list_roblox_studios" => text(match way {
            "none" => String::new(),
            "many" => format!("racing.rbxl {ID}\nvillage.rbxl {}", ID.replacen('0', "1", 1)),
            _ => json!([{"name": "Racing.rbxl", "studio_id": ID}]).to_string(),
        }),
        "start_stop_play" => {
            *is_playing = arguments["is_start"] == true && way != "stuck";
            text("done")
        }
        "get_studio_state" => text(if *is_playing {
            "Current Studio Mode: Play\nAvailable DataModels: Client, Server"
        } else {
            "Current Studio Mode: Edit\nAvailable DataModels: Edit"
        }),
        "execute_luau" => return executed(way, arguments),
        _ => text(""),
    })
}

/// What a script of the client's comes to, as the eval in it says by a word.
fn executed(way: &str, arguments: &Value) -> Option<Value> {
    let code = arguments["code"].as_str().unwrap_or_default();
    let Some((_, mark)) = code.split_once("local MARK = \"") else { return Some(text("taken back")) };
    let mark = mark.split('"').next().unwrap_or_default();
    let is_server = arguments["datamodel_type"] == "Server";
    let said = |fails: u32, checks: u32, error: &str, clients: u32| {
        let mode = if is_server { "[SERVER]" } else { "[EDIT]" };
        let line = json!({"mode": mode, "passes": checks - fails, "fails": fails, "checks": checks, "error": error,
            "clients": clients, "server": false});
        text(format!("printed: {{\"fails\": 0}}\n{mark} {line}\n"))
    };
    Some(match way {
        "hangs" => return None,
        "huge" => text("y".repeat(40 << 20)),
        "forged" => text("vertigo-00000000-0000-4000-8000-000000000000 {\"passes\": 1, \"checks\": 1}"),
        "error" => json!({"isError": true, "content": [{"type": "text", "text": "Edit datamodel is not available"}]}),
        "setup" => text(format!("{mark} {}", json!({"nothing": "the eval's setup failed: no Car"}))),
        "clients" => said(0, 0, "", 2),
        "bad game" if is_server => said(1, 1, "Time is not changing", 0),
        "bad scene" => said(1, 1, "no Part", 0),
        _ => said(0, 1, "", 0),
    })
}
