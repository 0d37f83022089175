use super::*;
use clap::CommandFactory;

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn help_has_no_styles_but_our_own() {
    let help = Cli::command().render_long_help().ansi().to_string();
    assert!(help.contains('\u{1b}'), "it is styled");
    let shown = crate::render::safe::styled(&help);
    assert!(!shown.contains("\\u{1b}") && shown == help, "{shown}");
}

#[test]
fn help_fits_the_terminal_and_documents_the_exit_codes() {
    let help = Cli::command().render_long_help().to_string();
    for line in ["Exit codes:", "3    the coordinator cannot be reached", "vertigo train recipes/9b.yaml"] {
        assert!(help.contains(line), "{line}");
    }
}

#[test]
fn what_is_not_a_coordinator_or_an_amount_is_refused() {
    let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map_err(|e| e.to_string());
    assert!(parse("vertigo --coordinator http://10.0.0.1:7420 jobs").unwrap_err().contains("not on this machine"));
    assert!(parse("vertigo plan a.yaml --memory many").unwrap_err().contains("36GiB, 900MiB or 64GB"));
    assert!(parse("vertigo plan a.yaml --engine mlx-lm").unwrap_err().contains("--memory"));
    assert!(parse("vertigo jobs --limit 0").unwrap_err().contains("0 is not in 1.."));
    assert!(parse("vertigo artifacts --kind models").unwrap_err().contains("no kind of artifact"));
    assert!(parse("vertigo jobs --since yesterday").unwrap_err().contains("12h or 7d"));
    assert!(parse("vertigo jobs --kind trane").unwrap_err().contains("train, fuse, serve"));
    assert!(parse("vertigo fuse a --bits 5").unwrap_err().contains("auto, same, 4, 8, 16"));
    assert!(parse("vertigo cancel").is_err() && parse("vertigo cancel a --pipeline b").is_err());
    assert!(parse("vertigo eval").is_err() && parse("vertigo eval m").unwrap_err().contains("--suite"));
    assert!(parse("vertigo eval m --suite s --samples 0").unwrap_err().contains("0 is not in 1..=1000"));
    assert!(parse("vertigo eval m n --suite s --suite t --tasks a* b --thinking off --baseline o").is_ok());
    assert!(parse("vertigo suite import v2 --system s.txt").unwrap_err().contains("PATH"));
    assert!(parse("vertigo suite import luau").is_ok() && parse("vertigo suite show luau --samples 0").is_err());
    assert!(parse("vertigo promote m --to t").unwrap_err().contains("--gate"));
    assert!(parse("vertigo promote m --to t --gate g --force").unwrap_err().contains("--reason"));
    assert!(parse("vertigo promote m --to t --gate g --force --reason x --dry-run").is_err());
    assert!(parse("vertigo promote m --to t --gate g --report a --report b --dry-run").is_ok());
    assert!(parse("vertigo tag a").is_err() && parse("vertigo history production --limit 0").is_err());
    assert!(
        parse("vertigo drain studio --reason disk").is_ok() && parse("vertigo drain").unwrap_err().contains("WORKER")
    );
    assert!(parse("vertigo token revoke 01a2").is_ok() && parse("vertigo token revoke ").is_err());
    assert!(parse("vertigo worker set studio --when always").is_ok());
    assert!(parse("vertigo worker set studio").unwrap_err().contains("--when"));
    assert!(parse("vertigo resume studio").is_ok() && parse("vertigo remove").is_err());
    assert!(parse("vertigo rollback production --to 4dfe542c1703 --reason prose").is_ok());
    assert!(parse("vertigo jobs --state failed,cancelled --since 1d --kind train").is_ok());
    assert!(parse("vertigo jobs --json --coordinator 127.0.0.1:1").is_ok());
}
