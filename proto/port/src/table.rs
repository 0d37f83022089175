//! Which connections are open, and which is closed for another: the decisions, as a function of what happened and when.
//!
//! It promises, tested by properties:
//! - there are never more connections than the limit;
//! - a connection with a request or a session in flight is never closed, for another or for its age;
//! - whoever knocks has no such right: its connection is as good as idle, and ends with the patience that a new one has, whatever it asked
//!   and however slowly it reads the answer; all that knock together have an eighth of the places for requests;
//! - a newcomer gets in, whatever the number of idle connections and of requests in flight, as long as sessions leave it room:
//!   requests have fewer places than connections, so that workers' sessions have the others;
//! - feeds, which last, leave room for the requests that do not: they have half the places.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How many connections and requests there may be at a time, and how long a connection may have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections, idle ones among them.
    pub connections: usize,
    /// Requests in flight that are no worker's session: fewer than `connections`. The difference is kept for sessions.
    pub requests: usize,
    /// How long a new connection may take to send the head of its first request.
    pub first_request: Duration,
    /// How long a connection may have no request in flight after that.
    pub idle: Duration,
}

/// A connection, for as long as the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnectionId(u64);

/// What a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A call, or a blob.
    Request,
    /// A stream of events, which may have no end.
    Feed,
    /// A worker's session.
    Session,
    /// A request of somebody who has not shown who it is.
    Knock,
}

impl Work {
    /// Whether it keeps its connection open.
    fn holds(self) -> bool {
        self != Work::Knock
    }

    /// Whether it takes one of the places for requests.
    fn takes_a_place(self) -> bool {
        self != Work::Session
    }
}

/// What becomes of a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is open; the one that was idle the longest is closed for it, where there was no room.
    Open { id: ConnectionId, closes: Option<ConnectionId> },
    /// Every connection has something in flight.
    Full,
}

/// Why a request is not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotBegun {
    /// The connection was closed for another when the request came.
    #[error("this connection was idle and is closed; ask again on a new one")]
    Closed,
    /// Too many feeds at a time.
    #[error("there are as many feeds open as there is room for; end one, or try again in a moment")]
    Feeds,
    /// Too many at a time.
    #[error("there are as many requests in flight as there is room for; try again in a moment")]
    Busy,
}

#[derive(Debug)]
struct Line {
    in_flight: usize,
    /// Whether a request has come yet.
    asked: bool,
    /// When it was opened, or its last request ended.
    since: Instant,
}

#[derive(Debug)]
pub(crate) struct Table {
    limits: Limits,
    open: BTreeMap<ConnectionId, Line>,
    next: u64,
    /// Requests in flight that are no sessions, on all connections, also on those that have just been closed.
    requests: usize,
    /// Those of them that are feeds.
    feeds: usize,
    /// Those of them that knock.
    knocks: usize,
}

/// Of so many places for requests, one is for those that knock.
const PLACES_OF_A_KNOCK: usize = 8;

impl Table {
    pub(crate) fn new(limits: Limits) -> Table {
        Table { limits, open: BTreeMap::new(), next: 0, requests: 0, feeds: 0, knocks: 0 }
    }

    /// A connection was made.
    pub(crate) fn open(&mut self, now: Instant) -> Admission {
        let closes = if self.open.len() < self.limits.connections { None } else { self.close_idlest() };
        if self.open.len() >= self.limits.connections {
            return Admission::Full;
        }
        let id = ConnectionId(self.next);
        self.next += 1;
        self.open.insert(id, Line { in_flight: 0, asked: false, since: now });
        Admission::Open { id, closes }
    }

    /// Closes the connection that has been idle the longest, if any is idle.
    pub(crate) fn close_idlest(&mut self) -> Option<ConnectionId> {
        let idle = self.open.iter().filter(|(_, line)| line.in_flight == 0);
        let id = idle.min_by_key(|(_, line)| line.since).map(|(id, _)| *id)?;
        self.open.remove(&id);
        Some(id)
    }

    /// Closes the connections that have had no request in flight for too long.
    pub(crate) fn close_overdue(&mut self, now: Instant) -> Vec<ConnectionId> {
        let Limits { first_request, idle, .. } = self.limits;
        let overdue = |line: &Line| {
            let patience = if line.asked { idle } else { first_request };
            line.in_flight == 0 && now.saturating_duration_since(line.since) >= patience
        };
        let closed: Vec<_> = self.open.iter().filter(|(_, line)| overdue(line)).map(|(id, _)| *id).collect();
        for id in &closed {
            self.open.remove(id);
        }
        closed
    }

    /// A request's head has come.
    pub(crate) fn begin(&mut self, id: ConnectionId, work: Work) -> Result<(), NotBegun> {
        let line = self.open.get_mut(&id).ok_or(NotBegun::Closed)?;
        line.asked |= work.holds();
        if work == Work::Knock && self.knocks >= (self.limits.requests / PLACES_OF_A_KNOCK).max(1) {
            return Err(NotBegun::Busy);
        }
        if work == Work::Feed && self.feeds >= self.limits.requests / 2 {
            return Err(NotBegun::Feeds);
        }
        if work.takes_a_place() {
            if self.requests >= self.limits.requests {
                return Err(NotBegun::Busy);
            }
            self.requests += 1;
            self.feeds += usize::from(work == Work::Feed);
            self.knocks += usize::from(work == Work::Knock);
        }
        line.in_flight += usize::from(work.holds());
        Ok(())
    }

    /// A request that was begun has been answered, or its connection is gone.
    pub(crate) fn end(&mut self, id: ConnectionId, work: Work, now: Instant) {
        if work.takes_a_place() {
            self.requests -= 1;
            self.feeds -= usize::from(work == Work::Feed);
            self.knocks -= usize::from(work == Work::Knock);
        }
        if let Some(line) = self.open.get_mut(&id).filter(|_| work.holds()) {
            line.in_flight -= 1;
            line.since = now;
        }
    }

    /// The connection has ended, whoever ended it.
    pub(crate) fn ended(&mut self, id: ConnectionId) {
        self.open.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;
    use std::collections::HashMap;

    const LIMITS: Limits =
        Limits { connections: 6, requests: 3, first_request: Duration::from_secs(10), idle: Duration::from_secs(100) };

    /// What happens; a number picks one of the connections that were ever made.
    #[derive(Debug, Clone)]
    enum Event {
        Open,
        Begin(usize, Work),
        End(usize),
        Ended(usize),
        Sweep,
    }

    fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
        let work = select(vec![Work::Request, Work::Feed, Work::Session, Work::Knock]);
        let event = prop_oneof![
            4 => Just(Event::Open),
            4 => (any::<usize>(), work).prop_map(|(n, work)| Event::Begin(n, work)),
            3 => any::<usize>().prop_map(Event::End),
            1 => any::<usize>().prop_map(Event::Ended),
            1 => Just(Event::Sweep),
        ];
        proptest::collection::vec((0u64..40, event), 0..200)
    }

    fn opened(table: &mut Table, now: Instant) -> ConnectionId {
        match table.open(now) {
            Admission::Open { id, .. } => id,
            Admission::Full => panic!("there is room"),
        }
    }

    proptest! {
        #[test]
        fn what_is_in_flight_stays_and_sessions_find_room(events in events()) {
            let (mut table, mut now) = (Table::new(LIMITS), Instant::now());
            let mut made: Vec<ConnectionId> = Vec::new();
            // What is in flight, by our own count.
            let mut flying: HashMap<ConnectionId, Vec<Work>> = HashMap::new();
            for (seconds, event) in events {
                now += Duration::from_secs(seconds);
                let pick = |n: usize| made.get(n % made.len().max(1)).copied();
                let mut closed = Vec::new();
                match event {
                    Event::Open => {
                        let sessions = flying.values().filter(|works| works.contains(&Work::Session)).count();
                        match table.open(now) {
                            Admission::Open { id, closes } => {
                                made.push(id);
                                closed.extend(closes);
                            }
                            Admission::Full => prop_assert!(sessions >= LIMITS.connections - LIMITS.requests),
                        }
                    }
                    Event::Begin(n, work) => {
                        let Some(id) = pick(n) else { continue };
                        let begun = table.begin(id, work);
                        let is_open = table.open.contains_key(&id);
                        prop_assert_eq!(begun == Err(NotBegun::Closed), !is_open);
                        // A session on an open connection is never refused.
                        prop_assert!(!(work == Work::Session && is_open) || begun.is_ok());
                        if begun.is_ok() {
                            flying.entry(id).or_default().push(work);
                        }
                    }
                    Event::End(n) => {
                        let Some(id) = pick(n) else { continue };
                        if let Some(work) = flying.get_mut(&id).and_then(Vec::pop) {
                            table.end(id, work, now);
                        }
                    }
                    Event::Ended(n) => {
                        let Some(id) = pick(n) else { continue };
                        table.ended(id);
                        for work in flying.remove(&id).unwrap_or_default() {
                            table.end(id, work, now);
                        }
                    }
                    Event::Sweep => closed = table.close_overdue(now),
                }
                for id in closed {
                    let holds = |works: &Vec<Work>| works.iter().any(|work| *work != Work::Knock);
                    prop_assert!(!flying.get(&id).is_some_and(holds), "{id:?} has work in flight");
                }
                prop_assert!(table.open.len() <= LIMITS.connections);
                let count = |meant: Work| flying.values().flatten().filter(|work| **work == meant).count();
                let (feeds, knocks) = (count(Work::Feed), count(Work::Knock));
                let requests = feeds + knocks + count(Work::Request);
                prop_assert_eq!((feeds, knocks, requests), (table.feeds, table.knocks, table.requests));
                prop_assert!(knocks <= 1);
                prop_assert!(requests <= LIMITS.requests && feeds <= LIMITS.requests / 2);
            }
        }
    }

    #[test]
    fn the_connection_that_was_idle_the_longest_goes_first() {
        let (mut table, start) = (Table::new(LIMITS), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let ids: Vec<_> = (0..6).map(|n| opened(&mut table, at(n))).collect();
        table.begin(ids[0], Work::Session).unwrap();
        table.begin(ids[1], Work::Request).unwrap();
        table.end(ids[1], Work::Request, at(7));
        let closed = |table: &mut Table| match table.open(at(8)) {
            Admission::Open { closes, .. } => closes.unwrap(),
            Admission::Full => panic!("one is idle"),
        };
        let order: Vec<_> = (0..5).map(|_| closed(&mut table)).collect();
        assert_eq!(order, [ids[2], ids[3], ids[4], ids[5], ids[1]]);
    }

    #[test]
    fn one_that_knocks_is_closed_with_the_patience_of_a_new_one_and_before_any_that_asks() {
        let limits = Limits { requests: 16, ..LIMITS };
        let (mut table, start) = (Table::new(limits), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let (knocks, asks) = (opened(&mut table, start), opened(&mut table, start));
        table.begin(asks, Work::Request).unwrap();
        table.begin(knocks, Work::Knock).unwrap();
        table.begin(knocks, Work::Knock).unwrap();
        // An eighth of 16 places are taken.
        assert_eq!(table.begin(knocks, Work::Knock), Err(NotBegun::Busy));
        table.end(knocks, Work::Knock, at(9));
        table.begin(knocks, Work::Knock).unwrap();
        assert!(table.close_overdue(at(9)).is_empty());
        assert_eq!(table.close_overdue(at(10)), [knocks]);
        table.end(knocks, Work::Knock, at(11));
        table.end(knocks, Work::Knock, at(11));
        assert_eq!((table.knocks, table.requests), (0, 1));
    }

    #[test]
    fn a_connection_has_seconds_for_its_first_request_and_minutes_between_two() {
        let (mut table, start) = (Table::new(LIMITS), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let (silent, asks, busy) = (opened(&mut table, start), opened(&mut table, start), opened(&mut table, start));
        table.begin(busy, Work::Request).unwrap();
        table.begin(asks, Work::Request).unwrap();
        table.end(asks, Work::Request, at(5));
        assert!(table.close_overdue(at(9)).is_empty());
        assert_eq!(table.close_overdue(at(10)), [silent]);
        assert!(table.close_overdue(at(104)).is_empty());
        assert_eq!(table.close_overdue(at(105)), [asks]);
        assert!(table.close_overdue(at(1_000_000)).is_empty(), "a request may take for ever");
        assert_eq!(table.begin(silent, Work::Session), Err(NotBegun::Closed));
    }
}
