//! `vertigo chat` beside a service that is played: for scripts, and in a real terminal.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// A chunk of a stream with this delta.
fn chunk(delta: &str, finish: &str) -> String {
    format!("data: {{\"model\": \"mini\", \"choices\": [{{\"delta\": {delta}, \"finish_reason\": {finish}}}]}}\n\n")
}

/// A service that answers the n-th request with what `script` says, and tells what it was asked. An answer without an end is one that goes
/// on until the client goes.
fn service(script: Vec<String>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, asked) = channel();
    std::thread::spawn(move || {
        for answer in script {
            let (mut stream, _) = listener.accept().unwrap();
            sender.send(request(&mut stream)).unwrap();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
            stream.write_all(format!("{head}{answer}").as_bytes()).unwrap();
            if !answer.contains("[DONE]") {
                // Until the client has gone.
                let _ = stream.read(&mut [0]);
                sender.send("gone".to_owned()).unwrap();
            }
        }
    });
    (url, asked)
}

/// A request's body.
fn request(stream: &mut TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line).unwrap() > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

fn hello() -> String {
    let deltas = [r#"{"reasoning_content": "hm"}"#, r#"{"content": "Hello \u001b[2J"}"#, r#"{"content": "you"}"#];
    let chunks: String = deltas.iter().map(|delta| chunk(delta, "null")).collect();
    chunks + &chunk("{}", "\"stop\"") + "data: [DONE]\n\n"
}

fn chat(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vertigo"));
    command.args(["chat", "mini", "--url", url]).args(arguments);
    command
}

#[test]
fn a_script_gets_the_answer_and_nothing_else() {
    let (url, asked) = service(vec![hello(), hello()]);
    let told = chat(&url, &["--message", "hi", "--system", "Be terse."]).output().unwrap();
    assert_eq!(String::from_utf8(told.stdout).unwrap(), "Hello \\u{1b}[2Jyou\n");
    let request = asked.recv_timeout(DEADLINE).unwrap();
    assert!(request.contains("Be terse.") && request.contains("\"hi\""), "{request}");
    let told = chat(&url, &["--message", "hi", "--json"]).output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((&document["answer"], &document["thought"]), (&"Hello \u{1b}[2Jyou".into(), &"hm".into()));
    assert_eq!((&document["finish_reason"], &document["url"]), (&"stop".into(), &url.into()));
}

#[test]
fn lines_of_a_pipe_are_a_conversation() {
    let (url, asked) = service(vec![hello(), hello()]);
    let mut chat = chat(&url, &[]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = "first\n/think off\nsecond\n/quit\nnever\n";
    chat.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let told = chat.wait_with_output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    assert_eq!(String::from_utf8(told.stdout).unwrap().matches("you").count(), 2);
    let (first, second) = (asked.recv_timeout(DEADLINE).unwrap(), asked.recv_timeout(DEADLINE).unwrap());
    assert!(!first.contains("enable_thinking") && second.contains("\"enable_thinking\":false"), "{second}");
    assert!(second.contains("first") && second.contains("Hello") && !second.contains("hm"), "{second}");
}

/// A program in a pseudo-terminal, which Python makes: what is written to it is typed there.
struct Terminal {
    python: Child,
    seen: Receiver<u8>,
}

impl Terminal {
    /// `None` where there is no Python.
    fn new(program: &Command) -> Option<Terminal> {
        let list: Vec<String> = std::iter::once(program.get_program())
            .chain(program.get_args())
            .map(|it| format!("{:?}", it.to_str().unwrap()))
            .collect();
        let script =
            format!("import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn([{}])))", list.join(", "));
        let mut python = Command::new("python3");
        python.args(["-c", &script]).env("TERM", "xterm").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut python = python.spawn().ok()?;
        let (sender, seen) = channel();
        let stdout = python.stdout.take().unwrap();
        std::thread::spawn(move || {
            BufReader::new(stdout).bytes().map_while(Result::ok).try_for_each(|byte| sender.send(byte))
        });
        Some(Terminal { python, seen })
    }

    fn types(&mut self, text: &str) {
        let stdin = self.python.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).unwrap();
    }

    /// Waits until this is shown, after what was waited for before.
    fn shows(&mut self, text: &str) {
        let mut bytes = Vec::new();
        while !String::from_utf8_lossy(&bytes).contains(text) {
            match self.seen.recv_timeout(DEADLINE) {
                Ok(byte) => bytes.push(byte),
                Err(_) => panic!("`{text}` is not shown: {}", String::from_utf8_lossy(&bytes)),
            }
        }
    }
}

#[test]
fn ctrl_c_stops_the_answer_and_ctrl_d_ends() {
    let endless = chunk(r#"{"content": "on and on"}"#, "null");
    let (url, asked) = service(vec![endless, hello()]);
    let Some(mut terminal) = Terminal::new(&chat(&url, &[])) else {
        println!("SKIPPED: there is no python3, which makes the terminal");
        return;
    };
    terminal.shows("> ");
    terminal.types("go on\r");
    terminal.shows("on and on");
    terminal.types("\u{3}");
    terminal.shows("stopped");
    terminal.shows("> ");
    assert!(asked.recv_timeout(DEADLINE).unwrap().contains("go on"));
    assert_eq!(asked.recv_timeout(DEADLINE).unwrap(), "gone", "the service is told by its connection");
    terminal.types("and now?\r");
    terminal.shows("you");
    let request = asked.recv_timeout(DEADLINE).unwrap();
    assert!(request.contains("on and on"), "what had come is part of the conversation: {request}");
    terminal.shows("> ");
    terminal.types("\u{4}");
    assert!(terminal.python.wait().unwrap().success());
}
