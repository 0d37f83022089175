//! What stands behind the `?` of an address, key by key: a key that nobody reads is an error and not passed over.

use axum::http::HeaderMap;
use std::collections::HashMap;
use std::str::FromStr;
use url::form_urlencoded;
use vertigo::api_error::ApiError;
use vertigo::v1;
use vertigo_view::state_of;

/// The keys and values that are not read yet.
#[derive(Debug)]
pub(super) struct Query {
    left: Vec<(String, String)>,
    /// The keys that the route reads.
    known: Vec<&'static str>,
}

impl Query {
    /// All of them.
    pub(super) fn read(query: Option<&str>) -> Query {
        let left = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
        Query { left, known: Vec::new() }
    }

    fn all(&mut self, key: &'static str) -> Vec<String> {
        self.known.push(key);
        self.left.extract_if(.., |(found, _)| found == key).map(|(_, value)| value).collect()
    }

    fn one(&mut self, key: &'static str) -> Result<Option<String>, ApiError> {
        let mut values = self.all(key);
        let last = values.pop();
        if values.is_empty() { Ok(last) } else { Err(ApiError::invalid(format!("`{key}` stands more than once"))) }
    }

    /// A text; empty where there is none.
    pub(super) fn text(&mut self, key: &'static str) -> Result<String, ApiError> {
        Ok(self.one(key)?.unwrap_or_default())
    }

    /// A name, where there is one: what is left empty, as by a variable that is not set, is no name.
    pub(super) fn name(&mut self, key: &'static str) -> Result<Option<String>, ApiError> {
        match self.one(key)? {
            Some(name) if name.is_empty() => Err(ApiError::invalid(format!("`{key}=` is empty"))),
            name => Ok(name),
        }
    }

    /// A number; 0 where there is none.
    pub(super) fn number<N: FromStr + Default>(&mut self, key: &'static str) -> Result<N, ApiError> {
        Ok(self.maybe_number(key)?.unwrap_or_default())
    }

    /// A number, where there is one.
    pub(super) fn maybe_number<N: FromStr>(&mut self, key: &'static str) -> Result<Option<N>, ApiError> {
        let wrong = |text: &str| ApiError::invalid(format!("`{key}={text}`: write a whole number"));
        self.one(key)?.map(|text| text.parse().map_err(|_| wrong(&text))).transpose()
    }

    /// Each `state`, by its word.
    pub(super) fn states(&mut self) -> Result<Vec<i32>, ApiError> {
        let read = |word: String| match state_of(&word) {
            Some(state) => Ok(state.into()),
            None => {
                let words: Vec<&str> = vertigo_view::STATES.iter().map(|state| vertigo_view::state(*state)).collect();
                let hint = format!("it is one of {}", words.join(", "));
                Err(ApiError::invalid(format!("`{word}` is no state of a job")).with_hint(hint))
            }
        };
        self.all("state").into_iter().map(read).collect()
    }

    /// Each `label`, as `KEY=VALUE`; `KEY` alone stands for any value.
    pub(super) fn labels(&mut self) -> Result<HashMap<String, String>, ApiError> {
        let mut labels = HashMap::new();
        for label in self.all("label") {
            let (key, value) = label.split_once('=').unwrap_or((&label, ""));
            if key.is_empty() {
                return Err(
                    ApiError::invalid(format!("`label={label}` names no label")).with_hint("write label=KEY=VALUE")
                );
            }
            if labels.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(ApiError::invalid(format!("label `{key}` stands more than once")));
            }
        }
        Ok(labels)
    }

    /// Refuses what is left.
    pub(super) fn end(self) -> Result<(), ApiError> {
        match self.left.first() {
            None => Ok(()),
            Some((key, _)) => {
                let known = if self.known.is_empty() { "no key".to_owned() } else { self.known.join(", ") };
                let hint = format!("it knows {known}; a group or a pipeline is a label, as in label=group=NAME");
                let hint = if self.known.contains(&"label") { hint } else { format!("it knows {known}") };
                Err(ApiError::invalid(format!("this route knows no `{key}`")).with_hint(hint))
            }
        }
    }
}

/// The position behind which a feed goes on: that of the last event that was seen, by `Last-Event-ID`, which a client that connects
/// again sends, or by `after`.
pub(super) fn after(headers: &HeaderMap, after: Option<u64>) -> Result<Option<u64>, ApiError> {
    let mut seen = headers.get_all("last-event-id").iter();
    match (seen.next(), seen.next()) {
        (None, _) => Ok(after),
        (Some(_), Some(_)) => Err(ApiError::invalid("`Last-Event-ID` stands more than once")),
        (Some(seen), None) => {
            let position = seen.to_str().ok().and_then(|text| text.parse().ok());
            let wrong = || ApiError::invalid("`Last-Event-ID` is no position that this route gave");
            position.map(Some).ok_or_else(wrong)
        }
    }
}

/// A request to watch.
pub(super) fn watch(job: Option<String>, after: Option<u64>) -> v1::WatchRequest {
    // Of one job, all that happened; of all jobs, what happens from now on.
    let only_new = job.is_none() && after.is_none();
    v1::WatchRequest { id: job.unwrap_or_default(), after: after.unwrap_or_default(), only_new }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};
    use vertigo::v1::JobState;

    #[test]
    fn each_key_is_read_once_and_what_is_left_is_refused() {
        let mut query =
            Query::read(Some("state=failed&kind=train&state=running&label=group%3Da%26b&label=x&page_size=5"));
        assert_eq!(query.states().unwrap(), [JobState::Failed.into(), i32::from(JobState::Leased)]);
        let labels = [("group".to_owned(), "a&b".to_owned()), ("x".to_owned(), String::new())];
        assert_eq!(query.labels().unwrap(), HashMap::from(labels));
        assert_eq!((query.text("kind").unwrap().as_str(), query.number("page_size").unwrap()), ("train", 5u32));
        assert_eq!((query.text("page_token").unwrap().as_str(), query.number("since_ms").unwrap()), ("", 0u64));
        query.end().unwrap();
        let mut query = Query::read(Some("sate=failed"));
        assert!(query.states().unwrap().is_empty());
        let unknown = query.end().unwrap_err();
        assert!(unknown.message.contains("`sate`") && unknown.hint.unwrap().contains("state"));
        assert!(Query::read(Some("job=")).name("job").unwrap_err().message.contains("`job=`"));
        assert!(Query::read(Some("label=")).labels().is_err());
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let message = |query: &str, read: fn(&mut Query) -> Result<(), ApiError>| {
            read(&mut Query::read(Some(query))).unwrap_err().to_string()
        };
        assert!(
            message("page_size=many", |query| query.number::<u32>("page_size").map(drop)).contains("page_size=many")
        );
        assert!(message("page_size=-1", |query| query.number::<u32>("page_size").map(drop)).contains("page_size=-1"));
        assert!(message("kind=a&kind=b", |query| query.text("kind").map(drop)).contains("more than once"));
        assert!(message("label=a%3D1&label=a%3D2", |query| query.labels().map(drop)).contains("`a`"));
        let unknown = Query::read(Some("state=lost")).states().unwrap_err();
        assert!(unknown.hint.unwrap().contains("blocked, queued"));
    }

    #[test]
    fn a_client_that_comes_back_goes_on_where_it_was() {
        let seen = |values: &[&str]| {
            let name = HeaderName::from_static("last-event-id");
            HeaderMap::from_iter(
                values.iter().map(|text| (name.clone(), HeaderValue::from_bytes(text.as_bytes()).unwrap())),
            )
        };
        let appended = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for text in values {
                headers.append("last-event-id", text.parse().unwrap());
            }
            headers
        };
        assert_eq!(after(&seen(&["7"]), Some(3)), Ok(Some(7)));
        assert_eq!((after(&seen(&[]), Some(3)), after(&seen(&[]), None)), (Ok(Some(3)), Ok(None)));
        assert!(after(&seen(&["x"]), None).is_err() && after(&seen(&["ü"]), Some(1)).is_err());
        assert!(after(&appended(&["1", "2"]), None).unwrap_err().message.contains("more than once"));
        let (job, all) = (watch(Some("j".to_owned()), None), watch(None, None));
        assert_eq!((job.only_new, job.after, all.only_new), (false, 0, true));
        assert!(!watch(None, Some(0)).only_new, "all jobs from the beginning");
    }
}
