//! What the analysis says: of plain mistakes, of Roblox's classes, and of sources that mean harm.

use proptest::prelude::*;
use std::sync::LazyLock;
use vertigo_luau::analysis::{Analysis, Analyzer, Definitions, DefinitionsError, Finding, Kind};

static BUILTIN: LazyLock<Analyzer> = LazyLock::new(|| Analyzer::new(&Definitions::Builtin).unwrap());

fn findings(source: &str) -> Vec<Finding> {
    let analysis = BUILTIN.analyze(source);
    assert!(analysis.is_known, "{source}");
    analysis.findings
}

fn assert_clean(source: &str) {
    assert_eq!(findings(source), [], "{source}");
}

#[test]
fn syntax_types_and_lints_are_found_at_their_places() {
    let found = findings("--!strict\nlocal x: number = 'a'\nlocal y = 2\nreturn x");
    let seen: Vec<_> = found.iter().map(|it| (it.line, it.column, it.kind, it.code.as_deref())).collect();
    assert_eq!(seen, [(2, 19, Kind::Type, None), (3, 7, Kind::Lint, Some("LocalUnused"))], "{found:?}");
    assert!(found[0].message.contains("number"), "{found:?}");
    let found = findings("return 1\nlocal =");
    assert!(found.iter().any(|it| it.kind == Kind::Syntax && it.line == 1 || it.line == 2), "{found:?}");
    assert_clean(
        "--!strict\nlocal Score = {}\nfunction Score.add(a: number, b: number): number\n\treturn a + b\nend\nreturn Score",
    );
}

#[test]
fn what_roblox_has_is_known_and_what_the_database_does_not_know_is_no_error() {
    assert_clean(
        r#"--!strict
        local Players = game:GetService("Players")
        local part: Part = Instance.new("Part")
        part.Anchored = true
        part.Size = Vector3.new(1, 2, 3) * 2
        part.Material = Enum.Material.Plastic
        part.Touched:Connect(function(hit: BasePart) hit:Destroy() end)
        part.SomethingNewer = workspace.Map.Spawn
        local connection: RBXScriptConnection = Players.PlayerAdded:Connect(function(player: Player) print(player.Name) end)
        connection:Disconnect()
        local _value: SomeNewerClass? = nil
        local Other = require(script.Parent.Other)
        task.wait(Other.pause)
        return { part = part, frame = CFrame.lookAt(Vector3.zero, Vector3.one) }"#,
    );
}

#[test]
fn a_wrong_property_type_and_an_unknown_item_of_an_enumeration_are_found() {
    let found =
        findings("--!strict\nlocal part: Part = Instance.new('Part')\npart.Anchored = 'yes'\npart.Transparency = true");
    assert_eq!(
        found.iter().map(|it| (it.line, it.kind)).collect::<Vec<_>>(),
        [(3, Kind::Type), (4, Kind::Type)],
        "{found:?}"
    );
    let found = findings("--!strict\nreturn Enum.Material.Plastik");
    assert!(found.len() == 1 && found[0].message.contains("Plastik"), "{found:?}");
}

#[test]
fn a_definitions_file_is_taken_as_complete_or_refused_with_its_complaint() {
    let file =
        Definitions::File("declare extern type Thing with\n\tSize: number\nend\ndeclare thing: Thing".to_owned());
    let analyzer = Analyzer::new(&file).unwrap();
    let found = analyzer
        .analyze("--!strict\nlocal size: number = thing.Size\nthing.Other = size\nlocal _x: Unknown = nil")
        .findings;
    assert_eq!(found.iter().map(|it| it.line).collect::<Vec<_>>(), [3, 4], "{found:?}");
    let broken = Analyzer::new(&Definitions::File("declare thing: number\nlocal = 1".to_owned()));
    assert!(matches!(&broken, Err(DefinitionsError::Broken(complaint)) if complaint.contains("line 2")), "{broken:?}");
    let unknown = Analyzer::new(&Definitions::File("declare thing: Thing".to_owned()));
    assert!(matches!(unknown, Err(DefinitionsError::Broken(_))), "{unknown:?}");
    let long = Analyzer::new(&Definitions::File(" ".repeat(17 << 20)));
    assert!(matches!(long, Err(DefinitionsError::TooLong(_))));
}

#[test]
fn no_source_is_too_deep_or_too_long() {
    for deep in ["(", "{", "f(", "function() ", "if x then ", "- ", "not ", "a..", "1+", "x.y:z(", "do ", "while x do "]
    {
        for source in [format!("return {}", deep.repeat(20_000)), deep.repeat(20_000)] {
            // Any answer will do; that there is one is what is tested.
            let _: Analysis = BUILTIN.analyze(&source);
        }
    }
    let closed = format!("return {}1{}", "{".repeat(400), "}".repeat(400));
    let _ = BUILTIN.analyze(&closed);
    let types = format!("--!strict\nlocal x: {}number{} = nil", "{".repeat(500), "}".repeat(500));
    let _ = BUILTIN.analyze(&types);
    assert!(!BUILTIN.analyze(&" ".repeat(2 << 20)).is_known);
    assert_clean("return 1");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// What was analysed before leaves nothing behind.
    #[test]
    fn a_source_has_the_same_findings_whatever_was_before(
        first in "(local x|function f\\(\\)|end|type T = |return|=|\\{|\\}|x|1|\"|:number| |\n){0,20}",
        second in "(local x|local y|x|=|1|'a'|:number|:string| |\n){0,12}",
    ) {
        let second = format!("--!strict\n{second}");
        let alone = BUILTIN.analyze(&second);
        BUILTIN.analyze(&first);
        prop_assert_eq!(BUILTIN.analyze(&second), alone);
    }
}
