//! What stands behind the `?` of an address, key by key: a key that nobody reads is an error and not passed over.

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
}

impl Query {
    /// All of them.
    pub(super) fn read(query: Option<&str>) -> Query {
        Query { left: form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect() }
    }

    fn all(&mut self, key: &str) -> Vec<String> {
        self.left.extract_if(.., |(found, _)| found == key).map(|(_, value)| value).collect()
    }

    fn one(&mut self, key: &str) -> Result<Option<String>, ApiError> {
        let mut values = self.all(key);
        let last = values.pop();
        if values.is_empty() { Ok(last) } else { Err(ApiError::invalid(format!("`{key}` stands more than once"))) }
    }

    /// A text; empty where there is none.
    pub(super) fn text(&mut self, key: &str) -> Result<String, ApiError> {
        Ok(self.one(key)?.unwrap_or_default())
    }

    /// A number; 0 where there is none.
    pub(super) fn number<N: FromStr + Default>(&mut self, key: &str) -> Result<N, ApiError> {
        Ok(self.maybe_number(key)?.unwrap_or_default())
    }

    /// A number, where there is one.
    pub(super) fn maybe_number<N: FromStr>(&mut self, key: &str) -> Result<Option<N>, ApiError> {
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
            Some((key, _)) => Err(ApiError::invalid(format!("this route knows no `{key}`"))),
        }
    }
}

/// The position behind which a feed goes on: that of the last event that was seen, by `Last-Event-ID`, which a client that connects
/// again sends, or by `after`.
pub(super) fn after(last_event_id: Option<&str>, after: Option<u64>) -> Result<Option<u64>, ApiError> {
    let wrong = |text| ApiError::invalid(format!("`Last-Event-ID: {text}` is no position that this route gave"));
    let seen = last_event_id.map(|text| text.parse::<u64>().map_err(|_| wrong(text))).transpose()?;
    Ok(seen.or(after))
}

/// A request to watch.
pub(super) fn watch(job: String, after: Option<u64>) -> v1::WatchRequest {
    // Of one job, all that happened; of all jobs, what happens from now on.
    let only_new = job.is_empty() && after.is_none();
    v1::WatchRequest { id: job, after: after.unwrap_or_default(), only_new }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert!(Query::read(Some("sate=failed")).end().unwrap_err().message.contains("`sate`"));
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
        assert_eq!(after(Some("7"), Some(3)), Ok(Some(7)));
        assert_eq!((after(None, Some(3)), after(None, None)), (Ok(Some(3)), Ok(None)));
        assert!(after(Some("x"), None).is_err());
        let (job, all) = (watch("j".to_owned(), None), watch(String::new(), None));
        assert_eq!((job.only_new, job.after, all.only_new), (false, 0, true));
        assert!(!watch(String::new(), Some(0)).only_new, "all jobs from the beginning");
    }
}
