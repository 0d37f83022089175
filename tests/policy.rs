//! What the project depends on is what `deny.toml` allows: licences, sources and crates. `cargo deny check` reads the same file;
//! this is for machines that do not have it.

use serde_json::Value;
use std::process::Command;
use toml::Table;
use vertigo_tests::repository;

fn policy() -> Table {
    std::fs::read_to_string(repository().join("deny.toml")).unwrap().parse().unwrap()
}

/// Every package that is built on Linux or on a Mac.
fn packages() -> Vec<Value> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--locked", "--all-features"]);
    command.args(["--filter-platform", "x86_64-unknown-linux-gnu", "--filter-platform", "aarch64-apple-darwin"]);
    let output = command.current_dir(repository()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    // `packages` is all that the lock file names; `resolve` is what these platforms build.
    let built: Vec<&str> =
        metadata["resolve"]["nodes"].as_array().unwrap().iter().filter_map(|node| node["id"].as_str()).collect();
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().filter(|package| built.contains(&package["id"].as_str().unwrap())).cloned().collect()
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap()
}

/// Which crates have which licences besides the allowed ones.
fn exceptions(policy: &Table) -> Vec<(String, Vec<String>)> {
    let exceptions = policy["licenses"]["exceptions"].as_array().unwrap().iter();
    let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
    exceptions.map(|it| (text(&it["crate"]), it["allow"].as_array().unwrap().iter().map(text).collect())).collect()
}

#[test]
fn licences_are_allowed() {
    let policy = policy();
    let allowed: Vec<&str> =
        policy["licenses"]["allow"].as_array().unwrap().iter().filter_map(|l| l.as_str()).collect();
    let exceptions = exceptions(&policy);
    let packages = packages();
    for (exempt, _) in &exceptions {
        assert!(
            packages.iter().any(|package| name(package) == exempt),
            "deny.toml makes an exception for {exempt}, which is not built"
        );
    }
    assert!(packages.len() > 200, "{} packages", packages.len());
    let refused: Vec<String> = packages
        .iter()
        .filter(|package| {
            // Some crates still write `MIT/Apache-2.0`, or names that SPDX has renamed.
            let Some(license) = package["license"].as_str().map(|text| text.replace('/', " OR ")) else { return true };
            let Ok(expression) = spdx::Expression::parse_mode(&license, spdx::ParseMode::LAX) else { return true };
            let exempt =
                exceptions.iter().filter(|(exempt, _)| exempt == name(package)).flat_map(|(_, licenses)| licenses);
            let allowed: Vec<&str> = allowed.iter().copied().chain(exempt.map(String::as_str)).collect();
            !expression.evaluate(|requirement| allowed.contains(&requirement.to_string().as_str()))
        })
        .map(|package| format!("{} ({})", name(package), package["license"]))
        .collect();
    assert!(refused.is_empty(), "deny.toml does not allow the licences of {refused:?}");
}

#[test]
fn sources_are_crates_io_and_banned_crates_are_absent() {
    let policy = policy();
    let banned: Vec<&str> =
        policy["bans"]["deny"].as_array().unwrap().iter().filter_map(|ban| ban["crate"].as_str()).collect();
    assert!(!banned.is_empty());
    for package in packages() {
        let from = package["source"].as_str().unwrap_or("path");
        assert!(
            from == "path" || from.starts_with("registry+https://github.com/rust-lang/crates.io-index"),
            "{} is from {from}",
            name(&package)
        );
        assert!(!banned.contains(&name(&package)), "deny.toml bans {}", name(&package));
    }
}
