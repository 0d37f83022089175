//! A command line said again: what a person typed for `install` is what the daemon is started with.

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

/// The options that a subcommand of `program` was given, as [`given`] says them; none where it was not called.
pub fn of_subcommand(mut program: Command, matches: &ArgMatches, subcommand: &str, without: &[&str]) -> Vec<String> {
    // What holds for all subcommands is then said by each.
    program.build();
    let called = program.find_subcommand(subcommand).zip(matches.subcommand_matches(subcommand));
    called.map(|(command, matches)| given(command, matches, without)).unwrap_or_default()
}

/// The options that were given, by hand or by the environment, in the command's order. Those of `without` are left out, and so is what has
/// no long name.
fn given(command: &Command, matches: &ArgMatches, without: &[&str]) -> Vec<String> {
    let mut words = Vec::new();
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        let was_given = matches!(
            matches.try_contains_id(id).ok().and_then(|_| matches.value_source(id)),
            Some(ValueSource::CommandLine | ValueSource::EnvVariable)
        );
        let Some(long) = argument.get_long().filter(|_| was_given && !without.contains(&id)) else { continue };
        if !argument.get_action().takes_values() {
            words.push(format!("--{long}"));
            continue;
        }
        for value in matches.get_raw(id).into_iter().flatten() {
            words.extend([format!("--{long}"), value.to_string_lossy().into_owned()]);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, ArgAction};

    #[test]
    fn what_was_given_is_said_again_and_defaults_are_not() {
        let command = Command::new("x")
            .arg(Arg::new("listen").long("listen").default_value("127.0.0.1:1"))
            .arg(Arg::new("store").long("store"))
            .arg(Arg::new("label").long("label").action(ArgAction::Append))
            .arg(Arg::new("new").long("new").action(ArgAction::SetTrue))
            .arg(Arg::new("old").long("old").action(ArgAction::SetTrue))
            .arg(Arg::new("dry_run").long("dry-run").action(ArgAction::SetTrue));
        let line = ["x", "--label", "a b", "--new", "--dry-run", "--label=c", "--store", "file:///s"];
        let expected = ["--store", "file:///s", "--label", "a b", "--label", "c", "--new"];
        let matches = command.clone().get_matches_from(line);
        assert_eq!(given(&command, &matches, &["dry_run"]), expected);

        let program = Command::new("p").subcommand(command.name("install")).subcommand(Command::new("status"));
        let matches = program.clone().get_matches_from(["p", "install"].into_iter().chain(line.into_iter().skip(1)));
        assert_eq!(of_subcommand(program.clone(), &matches, "install", &["dry_run"]), expected);
        assert_eq!(of_subcommand(program, &matches, "status", &[]), [""; 0]);
    }
}
