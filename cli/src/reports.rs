//! Reports of evaluations, wherever they are: in a folder or with the coordinator.

use crate::bounded;
use crate::coordinator::Coordinator;
use crate::download::pull;
use crate::error::{CliError, Exit, Result};
use crate::render::output::Output;
use std::path::Path;
use vertigo::id::Digest;
use vertigo::manifest::{Kind, Manifest};
use vertigo_evaluation::report::{FILE_BYTES_MAX, Report};

/// The report's file in its folder.
const FILE: &str = "report.json";

/// A report, by the name that it was asked for by.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    /// Its artifact; none of a folder.
    pub(crate) digest: Option<Digest>,
    pub(crate) report: Report,
}

/// Where a report is.
#[derive(Debug)]
pub(crate) enum Place {
    /// In a folder.
    Folder,
    /// With the coordinator.
    Kept(Box<Manifest>),
}

impl Place {
    /// The report's artifact; none of a folder.
    pub(crate) fn digest(&self) -> Option<Digest> {
        match self {
            Place::Folder => None,
            Place::Kept(manifest) => Some(manifest.digest()),
        }
    }
}

/// Where the report of a name is: in a folder of it, or else with the coordinator as a tag, a digest or a job. `None` where the
/// name is that of something else, or of nothing.
pub(crate) async fn find(name: &str, coordinator: &Coordinator) -> Result<Option<Place>> {
    if Path::new(name).join(FILE).is_file() {
        return Ok(Some(Place::Folder));
    }
    match coordinator.transfer().manifest(name).await {
        Ok((_, manifest)) => Ok((manifest.kind() == Kind::Report).then(|| Place::Kept(Box::new(manifest)))),
        Err(error) => match coordinator.transfer_error(&error) {
            error if error.exit == Exit::Unreachable => Err(error),
            // A job that has made nothing, or a name that says nothing of artifacts.
            _ => Ok(None),
        },
    }
}

/// Reads the report of a name.
pub(crate) async fn named(name: &str, coordinator: &Coordinator, output: Output) -> Result<Named> {
    if Path::new(name).join(FILE).is_file() {
        return read(name, &Place::Folder, coordinator, output).await;
    }
    let found = coordinator.transfer().manifest(name).await;
    let (_, manifest) = found.map_err(|e| {
        let error = coordinator.transfer_error(&e);
        let hint = "`vertigo artifacts --kind report` lists reports, and `vertigo eval MODEL --suite SUITE` makes one";
        if error.exit == Exit::NotFound { error.hint(hint) } else { error }
    })?;
    if manifest.kind() != Kind::Report {
        let message = format!("`{name}` is no report but an artifact of kind {}", manifest.kind());
        let hint = match manifest.kind() {
            Kind::Base | Kind::Adapter | Kind::Model => format!("make one with `vertigo eval {name} --suite SUITE`"),
            _ => "`vertigo artifacts --kind report` lists reports".to_owned(),
        };
        return Err(CliError::refused(message).hint(hint));
    }
    read(name, &Place::Kept(Box::new(manifest)), coordinator, output).await
}

/// Reads the report at a place.
pub(crate) async fn read(name: &str, place: &Place, coordinator: &Coordinator, output: Output) -> Result<Named> {
    match place {
        Place::Folder => Ok(Named { name: name.to_owned(), digest: None, report: parse(name, Path::new(name))? }),
        Place::Kept(manifest) => {
            let scratch = tempfile::tempdir().map_err(|e| CliError::refused(format!("cannot make a folder: {e}")))?;
            let folder = scratch.path().join("report");
            pull(manifest, name, &folder, coordinator, output).await?;
            Ok(Named { name: name.to_owned(), digest: Some(manifest.digest()), report: parse(name, &folder)? })
        }
    }
}

fn parse(name: &str, folder: &Path) -> Result<Report> {
    let told = |error: &dyn std::fmt::Display| CliError::refused(format!("report `{name}`: {error}"));
    let text = bounded::read(&folder.join(FILE), FILE_BYTES_MAX as u64).map_err(|error| told(&error))?;
    Report::parse(&text).map_err(|error| told(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vertigo::endpoint::Endpoint;
    use vertigo_client::Access;

    #[tokio::test]
    async fn a_folder_is_read_without_a_coordinator_and_what_is_no_report_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let coordinator = Coordinator::new(Access::plain(Endpoint::default()).unwrap());
        let name = dir.path().to_str().unwrap();
        std::fs::write(dir.path().join(FILE), crate::render::report::tests::report().to_text()).unwrap();
        let output = Output::new(true, crate::cli::Color::Never);
        let read = named(name, &coordinator, output).await.unwrap();
        assert_eq!((read.report.facts.suite.as_str(), read.digest), ("luau", None));
        std::fs::write(dir.path().join(FILE), "{}").unwrap();
        let error = named(name, &coordinator, output).await.unwrap_err();
        assert!(error.message.contains(name) && error.message.contains("no report"), "{}", error.message);
    }
}
