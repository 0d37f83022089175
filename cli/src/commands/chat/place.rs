//! Where a model answers: a service of the fleet that has it, or one that is named by its address.

use crate::coordinator::Coordinator;
use crate::error::{CliError, Exit, Result, Subject};
use crate::render::jobs::{self, serving};
use vertigo::bounds::PAGE_ITEMS_MAX;
use vertigo::endpoint::{Endpoint, EndpointError};
use vertigo::task::TaskKind;
use vertigo::v1;
use vertigo_client::traced;

/// An address that was typed, with or without `/v1` at its end.
pub(super) fn parse_url(text: &str) -> std::result::Result<Endpoint, String> {
    let bare = text.trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").unwrap_or(bare);
    let not_here = || {
        format!(
            "`{text}` is not on this machine in the clear, and services have no certificates: they answer on loopback only. Reach another \
             machine's through a tunnel (ssh -L PORT:127.0.0.1:PORT HOST)"
        )
    };
    match bare.parse::<Endpoint>() {
        Ok(endpoint) if endpoint.is_tls() => Err(not_here()),
        Ok(endpoint) => Ok(endpoint),
        Err(EndpointError::Form(_)) => {
            Err(format!("`{text}` is no service's address: write http://HOST:PORT, such as http://127.0.0.1:8080"))
        }
        Err(EndpointError::NotLoopback(_)) => Err(not_here()),
    }
}

/// The newest running service that answers as `model`.
pub(super) async fn find(model: &str, coordinator: &Coordinator) -> Result<Endpoint> {
    let mut services = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListJobsRequest {
            states: [v1::JobState::Leased, v1::JobState::Queued, v1::JobState::Backoff, v1::JobState::Blocked]
                .map(Into::into)
                .into(),
            kind: TaskKind::Serve.to_string(),
            page_size: PAGE_ITEMS_MAX,
            page_token,
            ..v1::ListJobsRequest::default()
        };
        let answer = coordinator.answer(coordinator.jobs().list(traced(request)).await, Subject::Job)?;
        services.extend(answer.jobs);
        match answer.next_page_token {
            last if last.is_empty() => break,
            next => page_token = next,
        }
    }
    choose(model, &services)
}

/// Of services, newest first, the first that answers as `model`.
fn choose(model: &str, services: &[v1::Job]) -> Result<Endpoint> {
    let answers = |job: &&v1::Job| serving(job).is_some_and(|it| it.models.iter().any(|name| name == model));
    if let Some(found) = services.iter().find(answers).and_then(serving) {
        return parse_url(&found.url).map_err(CliError::refused);
    }
    let is_asked_for = |job: &&v1::Job| job.variants.iter().any(|it| it.model.split(", ").any(|name| name == model));
    if let Some(job) = services.iter().find(is_asked_for) {
        let why = if job.reason.is_empty() { String::new() } else { format!(": {}", job.reason) };
        return Err(CliError::refused(format!(
            "{} is to answer as `{model}` and is not up yet{why}",
            jobs::title(job)
        ))
        .hint(format!("`vertigo watch {}` shows how it gets on", jobs::called(job))));
    }
    let models: Vec<&str> = services.iter().filter_map(serving).flat_map(|it| &it.models).map(String::as_str).collect();
    let others =
        if models.is_empty() { String::new() } else { format!("; running services answer as {}", models.join(", ")) };
    Err(CliError::new(Exit::NotFound, format!("no service answers as `{model}`{others}"))
        .hint(format!("start one with `vertigo serve {model}`, or name one that runs elsewhere with --url")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_found_by_what_it_answers_as() {
        let up = jobs::tests::service();
        assert_eq!(choose("production", std::slice::from_ref(&up)).unwrap().url(), "http://127.0.0.1:40123");
        let starting = v1::Job { attempts: Vec::new(), reason: "no worker is connected".to_owned(), ..up.clone() };
        let error = choose("production", &[starting]).unwrap_err();
        assert!(error.message.contains("is not up yet: no worker is connected"), "{}", error.message);
        let error = choose("other", &[up]).unwrap_err();
        assert_eq!(error.exit, Exit::NotFound);
        assert!(error.message.contains("answer as production") && error.hint.unwrap().contains("vertigo serve other"));
    }

    #[test]
    fn an_address_is_on_this_machine() {
        for text in
            ["http://127.0.0.1:8080", "127.0.0.1:8080/", "http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1/"]
        {
            assert_eq!(parse_url(text).unwrap().url(), "http://127.0.0.1:8080", "{text}");
        }
        assert!(parse_url("https://api.openai.com/v1").unwrap_err().contains("tunnel"));
        assert!(parse_url("http://127.0.0.1:8080/x").unwrap_err().contains("no service's address"));
    }
}
