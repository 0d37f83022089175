//! `vertigo compare`: reports of evaluations, or else jobs, beside one another.

mod jobs;

use crate::cli::CompareArgs;
use crate::comparison;
use crate::coordinator::Coordinator;
use crate::error::{CliError, Exit, Result};
use crate::render::output::Output;
use crate::reports::{self, Named, Place};
use vertigo::id::Digest;
use vertigo_evaluation::compare::SIDES_MAX;

pub(crate) async fn run(args: &CompareArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let Some(places) = all_reports(args, coordinator).await? else {
        return jobs::run(args, coordinator, output).await;
    };
    // Before any of them is fetched.
    if !(2..=SIDES_MAX).contains(&places.len()) {
        let message = format!("{} reports: compare 2 to {SIDES_MAX}", places.len());
        return Err(CliError::new(Exit::Usage, message).hint("`vertigo report REPORT` shows one alone"));
    }
    let digests: Vec<_> = places.iter().map(Place::digest).collect();
    if let Some(name) = twice(&args.jobs, &digests) {
        let message = format!("`{name}` is a report that is given twice: nothing is better than itself");
        return Err(CliError::new(Exit::Usage, message).hint("name the reports of two models"));
    }
    let mut named: Vec<Named> = Vec::new();
    for (name, place) in args.jobs.iter().zip(&places) {
        named.push(reports::read(name, place, coordinator, output).await?);
    }
    let sides: Vec<_> = named.iter().map(|it| (it.name.as_str(), &it.report)).collect();
    comparison::compared(&sides)?.show(output);
    Ok(())
}

/// Where the reports are, if every name is that of one.
async fn all_reports(args: &CompareArgs, coordinator: &Coordinator) -> Result<Option<Vec<Place>>> {
    if args.group.is_some() {
        return Ok(None);
    }
    let mut places = Vec::new();
    for name in &args.jobs {
        match reports::find(name, coordinator).await? {
            Some(place) => places.push(place),
            None => return Ok(None),
        }
    }
    Ok(Some(places))
}

/// The first name of a report that one before it names too.
fn twice<'n>(names: &'n [String], digests: &[Option<Digest>]) -> Option<&'n str> {
    let is_again = |n: usize| {
        (0..n).any(|before| names[before] == names[n] || digests[n].is_some() && digests[before] == digests[n])
    };
    (0..names.len().min(digests.len())).find(|n| is_again(*n)).map(|n| names[n].as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_not_compared_with_itself_whatever_it_is_called() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let [one, other] = [b"1", b"2"].map(|text| Some(Digest::of(text)));
        assert_eq!(twice(&names, &[one, other, None]), None);
        assert_eq!(twice(&names, &[None, None, None]), None, "folders are what they are called");
        assert_eq!(twice(&names, &[one, other, one]), Some("c"));
        assert_eq!(twice(&["a", "a"].map(str::to_owned), &[None, None]), Some("a"));
    }
}
