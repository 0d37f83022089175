//! The worker of the release before, played from the recording to a coordinator of today.
//!
//! It says what it said, byte for byte but for the names that the coordinator draws, and waits before each word for what it had heard by
//! then. How often it hears something may differ, such as how many reports are acknowledged at once.

use crate::grpc::{self, Call, Says, saying};
use crate::ids::Ids;
use crate::recording::{Fetch, Recording, Step};
use bytes::Bytes;
use prost::Message as _;
use std::collections::BTreeMap;
use vertigo::endpoint::Endpoint;
use vertigo::id::Digest;
use vertigo::v1::coordinator_message::Message as FromCoordinator;
use vertigo::v1::report::Body;
use vertigo::v1::worker_message::Message as FromWorker;
use vertigo::v1::{Artifact, CoordinatorMessage, Held, Report, ReportBatch, WorkerMessage};
use vertigo_tests::channel;
use vertigo_tests::waiting::soon;

/// The path of a worker's session.
pub(crate) const SESSION: &str = "/vertigo.v1.Fleet/Session";

/// Its session is its first call.
const SESSION_CALL: u64 = 1;

/// The path by which it asks for an artifact.
pub(crate) const ARTIFACT: &str = "/vertigo.v1.Artifacts/Get";

/// A worker of the release before.
pub(crate) struct OldWorker<'a> {
    coordinator: Endpoint,
    recording: &'a Recording,
    http: reqwest::Client,
    /// What was called otherwise when it was recorded.
    pub(crate) ids: Ids,
    calls: BTreeMap<u64, Open<'a>>,
    /// Steps that it has played.
    done: usize,
    /// How far each attempt's reports were acknowledged.
    acknowledged: BTreeMap<String, u64>,
    /// What it was given to do.
    held: Option<Held>,
    /// All that it has reported.
    pub(crate) reported: Vec<Report>,
    /// How its session ended, where it has: gRPC's number, and our code.
    pub(crate) refused: Option<(String, String)>,
}

/// A call under way.
struct Open<'a> {
    path: &'a str,
    says: Option<Says>,
    hears: Heard,
}

/// The answer, which may come after the whole question only.
enum Heard {
    Coming(tokio::task::JoinHandle<Call>),
    There(Call),
}

impl<'a> OldWorker<'a> {
    pub(crate) fn new(coordinator: Endpoint, recording: &'a Recording) -> OldWorker<'a> {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let (ids, calls) = (Ids::default(), BTreeMap::new());
        let (acknowledged, reported) = (BTreeMap::new(), Vec::new());
        OldWorker {
            coordinator,
            recording,
            http,
            ids,
            calls,
            done: 0,
            acknowledged,
            reported,
            held: None,
            refused: None,
        }
    }

    /// Does what it did, up to the first step that `is_enough`, that among it. Dropped, it is gone without a word.
    pub(crate) async fn plays_until(&mut self, is_enough: impl Fn(&Step) -> bool) {
        while let Some(step) = self.recording.steps.get(self.done) {
            soon(&format!("{step:?}"), self.plays(step)).await;
            self.done += 1;
            if is_enough(step) || self.refused.is_some() {
                return;
            }
        }
    }

    /// Loses its session and dials again, as it does: Hello names what it holds, and what was not acknowledged comes once more.
    pub(crate) async fn is_cut_off(&mut self) {
        let recording = self.recording;
        let held = self.held.clone().expect("it has something to do");
        let hello = recording.steps.iter().find_map(said).expect("it begins with Hello");
        let mut hello = WorkerMessage::decode(&hello[..]).expect("a worker's message");
        let Some(FromWorker::Hello(it)) = &mut hello.message else { panic!("{hello:?}") };
        it.held.push(held.clone());
        self.begins(SESSION_CALL, SESSION);
        self.says(SESSION_CALL, hello.encode_to_vec().into());
        let welcome = CoordinatorMessage::decode(&self.next(SESSION_CALL).await.expect("it is let in")[..]);
        let Some(FromCoordinator::Welcome(welcome)) = welcome.expect("a coordinator's message").message else {
            panic!("it is not welcomed")
        };
        let taken = welcome.acks.iter().find(|ack| ack.attempt_id == held.attempt_id).expect("it may go on").number;
        let reports = self.reported.iter().filter(|report| report.number > taken).cloned().collect();
        let again = ReportBatch { attempt_id: held.attempt_id, epoch: held.epoch, reports };
        let message = WorkerMessage { message: Some(FromWorker::Reports(again)) };
        self.says(SESSION_CALL, message.encode_to_vec().into());
    }

    fn begins(&mut self, call: u64, path: &'a str) {
        let (says, body) = saying();
        let (channel, called) = (channel(&self.coordinator), path.to_owned());
        let hears = Heard::Coming(tokio::spawn(async move { grpc::call(channel, &called, body).await }));
        self.calls.insert(call, Open { path, says: Some(says), hears });
    }

    fn says(&self, call: u64, message: Bytes) {
        let says = self.calls[&call].says.as_ref().expect("it says nothing after its end");
        // Fails where it was refused, which is what it hears next.
        let _ = says.unbounded_send(message);
    }

    async fn plays(&mut self, step: &'a Step) {
        match step {
            Step::Calls { call, path } => self.begins(*call, path),
            Step::Says { call, message } => {
                let said = self.ids.put_into(&message.0);
                if *call == SESSION_CALL {
                    self.reported.extend(reports(&said));
                }
                self.says(*call, said);
            }
            Step::Falls { call } => self.open(*call).says = None,
            Step::Hears { call, message } if *call == SESSION_CALL => self.hears(*call, &message.0).await,
            Step::Hears { call, message } => {
                let heard =
                    self.next(*call).await.unwrap_or_else(|status| panic!("{}: {status}", self.calls[call].path));
                if self.calls[call].path == ARTIFACT {
                    let read = |bytes: &[u8]| Artifact::decode(bytes).expect("an artifact");
                    self.ids.learn_artifact(&read(&message.0), &read(&heard));
                } else {
                    assert_eq!(heard, self.ids.put_into(&message.0), "{}", self.calls[call].path);
                }
            }
            Step::Ends { call, status } => {
                let path = self.calls[call].path;
                loop {
                    match self.next(*call).await {
                        Ok(_) if *call == SESSION_CALL => {}
                        Ok(more) => panic!("{path}: {more:?} is more than it heard"),
                        Err(now) => {
                            assert_eq!(now, *status, "{path}");
                            break;
                        }
                    }
                }
            }
            Step::Fetches(fetch) => self.fetches(fetch).await,
        }
    }

    fn open(&mut self, call: u64) -> &mut Open<'a> {
        self.calls.get_mut(&call).expect("a call begins before it goes on")
    }

    async fn next(&mut self, call: u64) -> Result<Bytes, String> {
        let open = self.open(call);
        if let Heard::Coming(coming) = &mut open.hears {
            open.hears = Heard::There(coming.await.expect("an answer"));
        }
        match &mut open.hears {
            Heard::There(call) => call.next().await,
            Heard::Coming(_) => unreachable!("it is there"),
        }
    }

    /// Waits for the like of what it heard in its session.
    async fn hears(&mut self, call: u64, was: &[u8]) {
        let was =
            CoordinatorMessage::decode(was).expect("a coordinator's message").message.expect("one that says something");
        loop {
            if let FromCoordinator::Ack(ack) = &was {
                let attempt = self.ids.put_into_text(&ack.attempt_id);
                if self.acknowledged.get(&attempt).is_some_and(|number| *number >= ack.number) {
                    return;
                }
            }
            let bytes = match self.next(call).await {
                Ok(bytes) => bytes,
                Err(status) => {
                    let Heard::There(answer) = &self.calls[&call].hears else { unreachable!("it has answered") };
                    self.refused = Some((status, answer.code()));
                    return;
                }
            };
            let now = CoordinatorMessage::decode(&bytes[..]).expect("a coordinator's message").message;
            match (&was, now.expect("it says nothing that a worker of then knows no word of, unless it is asked to")) {
                (FromCoordinator::Welcome(was), FromCoordinator::Welcome(now)) => return assert_eq!(*was, now),
                (FromCoordinator::Assignment(was), FromCoordinator::Assignment(now)) => {
                    self.held = Some(Held { attempt_id: now.attempt_id.clone(), epoch: now.epoch });
                    return self.ids.learn_assignment(was, &now);
                }
                (_, FromCoordinator::Ack(ack)) => {
                    let number = self.acknowledged.entry(ack.attempt_id).or_default();
                    *number = ack.number.max(*number);
                }
                (was, now) => panic!("it hears {now:?} where it heard {was:?}"),
            }
        }
    }

    async fn fetches(&self, fetch: &Fetch) {
        let Fetch { method, path, headers, sent, status, answered, received } = fetch;
        let url = format!("{}{}", self.coordinator, self.ids.put_into_text(path));
        let mut request = self.http.request(method.parse().expect("a method"), url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let body = sent.map(|digest| self.recording.blobs[&digest].clone()).unwrap_or_default();
        let answer = request.body(body).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), *status, "{method} {path}");
        for (name, value) in answered {
            let now = answer.headers().get(name).and_then(|now| now.to_str().ok());
            assert_eq!(now, Some(value.as_str()), "{name} of {method} {path}");
        }
        let body = answer.bytes().await.expect("a body");
        if let Some(received) = received {
            assert_eq!(Digest::of(&body).to_string(), self.ids.put_into_text(&received.to_string()), "{method} {path}");
        }
    }
}

/// The reports in a message of a worker's session.
pub(crate) fn reports(message: &[u8]) -> Vec<Report> {
    match WorkerMessage::decode(message).expect("a worker's message").message {
        Some(FromWorker::Reports(batch)) => batch.reports,
        _ => Vec::new(),
    }
}

/// What a worker says in its session with this.
fn said(step: &Step) -> Option<&Bytes> {
    if let Step::Says { call: SESSION_CALL, message } = step { Some(&message.0) } else { None }
}

/// Whether a worker tells with this that it has trained for a step.
pub(crate) fn trains(step: &Step) -> bool {
    let is_step = |report: &Report| matches!(report.body, Some(Body::Step(_)));
    said(step).is_some_and(|message| reports(message).iter().any(is_step))
}

#[cfg(test)]
mod tests;
