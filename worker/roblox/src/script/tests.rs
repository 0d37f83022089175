use super::*;
use proptest::prelude::*;
use std::path::Path;

const EVAL: &str = "--!strict
-- An eval.
local eval = {
    place = \"baseplate.rbxl\",
}
local secret = 7

eval.setup = function() secret = 8 end

eval.reference = function()
end

eval.check_scene = function() end
eval.check_game = function() assert(workspace:FindFirstChild(\"Part\")) end

return eval
";

#[test]
fn the_program_stands_before_the_eval_and_is_its_reference() {
    let eval = Eval::read(EVAL).unwrap();
    assert_eq!(eval.has(), Has { check_scene: false, check_game: true });
    let script = eval.with("local part = Instance.new(\"Part\")\npart.Parent = workspace -- done").unwrap();
    let expected = EVAL.replacen(
        "local eval",
        "local function VertigoAnswer(...)\nlocal part = Instance.new(\"Part\")\npart.Parent = workspace -- done\nend\n\n\
         local eval",
        1,
    );
    assert_eq!(script, expected.replacen("function()\nend", "function() VertigoAnswer() end", 1));
    assert!(script.starts_with("--!strict\n"), "what stands in the first comments holds for the whole script");
}

#[test]
fn a_reference_that_was_filled_in_or_declared_is_replaced() {
    let filled = EVAL.replacen("function()\nend", "function()\n\tif secret then\n\t\tprint(\"end\")\n\tend\nend", 1);
    let script = Eval::read(&filled).unwrap().with("print(1)").unwrap();
    assert!(script.contains("eval.reference = function() VertigoAnswer() end\n\neval.check_scene"), "{script}");
    let declared = EVAL.replacen("eval.reference = function()", "function eval.reference()", 1);
    let script = Eval::read(&declared).unwrap().with("print(1)").unwrap();
    assert!(script.contains("\neval.reference = function() VertigoAnswer() end\n\neval.check_scene"), "{script}");
}

#[test]
fn an_eval_without_one_place_for_a_program_is_refused_by_name() {
    let of = |text: &str| Eval::read(text).unwrap_err();
    let without = EVAL.replacen("eval.reference", "eval.preference", 1);
    assert_eq!(of(&without), EvalError::NoReference("eval".to_owned()));
    let nil = EVAL.replacen("eval.reference = function()\nend", "eval.reference = nil", 1);
    assert_eq!(of(&nil), EvalError::NoReference("eval".to_owned()));
    // What looks like one in a string, in a comment or in another function is none.
    let hidden = without.replacen(
        "local secret = 7",
        "local secret = [[\neval.reference = function() end]] -- eval.reference = function() end\n\
         local function f() eval.reference = function() end end",
        1,
    );
    assert_eq!(of(&hidden), EvalError::NoReference("eval".to_owned()));
    let twice = EVAL.replacen("return eval", "eval.reference = function() end\nreturn eval", 1);
    assert_eq!(of(&twice), EvalError::References("eval".to_owned(), 2));
    assert_eq!(of("return {}"), EvalError::NoEval);
    assert_eq!(of(""), EvalError::NoEval);
    assert_eq!(of("local eval = {}\n"), EvalError::NoEval);
    assert!(matches!(of("local eval = \nreturn eval"), EvalError::Syntax(2, _)));
    assert_eq!(of(&"-".repeat(SCRIPT_BYTES_MAX + 1)), EvalError::Large(SCRIPT_BYTES_MAX + 1));
}

#[test]
fn no_program_ends_its_function_or_names_what_the_eval_knows() {
    let eval = Eval::read(EVAL).unwrap();
    for hostile in [
        "end eval.check_game = function() end do",
        "end\neval.check_game = function() end\nlocal function x()",
        "print(1) end)",
        "--[[ never closed",
        "local s = [[ never closed",
        "return 1 end, function()",
        "function",
        "local x = `{",
    ] {
        assert!(matches!(eval.with(hostile), Err(ProgramError::Syntax(..))), "{hostile}");
    }
    // Names of the eval's locals are globals where the program stands, and those are nil.
    let script = eval.with("eval.check_game = function() end\nsecret = 1").unwrap();
    let at = |text: &str| script.find(text).unwrap();
    assert!(at("secret = 1") < at("local secret = 7") && at("eval.check_game = function() end\n") < at("local eval"));
    let long = "x()\n".repeat(60_000);
    assert!(matches!(eval.with(&long), Err(ProgramError::Large(bytes)) if bytes > 240_000));
}

#[test]
fn what_a_chunk_may_say_a_program_may() {
    let eval = Eval::read(EVAL).unwrap();
    for program in [
        "",
        "local a, b = ...\nprint(a, b)",
        "type Point = {x: number}\nlocal p: Point = {x = 1}\nprint(p)",
        "do return end",
        "return 1",
        "local function f() return f end\nf()",
        "for i = 1, 2 do continue end",
        "--!nocheck\nprint(`{1}`)",
        "game.Workspace.Gravity += 1",
    ] {
        let script = eval.with(program).unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(script.contains(program));
    }
    // The parser has a bound for its depth, and says so.
    let deep = "(".repeat(50_000);
    assert!(matches!(eval.with(&format!("x = {deep}")), Err(ProgramError::Syntax(..))));
}

#[test]
fn every_eval_of_open_game_eval_takes_a_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/opengameeval");
    if !root.exists() {
        return println!("SKIPPED: {} is not there", root.display());
    }
    let (mut evals, mut checks) = (0, 0);
    for folder in ["Evals", "DebugEvals"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let source = std::fs::read_to_string(&path).unwrap();
            let eval = Eval::read(&source).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let script = eval.with("print(\"a program\")").unwrap();
            assert_eq!(Eval::read(&script).unwrap().has(), eval.has(), "{}", path.display());
            (evals, checks) = (evals + 1, checks + usize::from(eval.has() != Has::default()));
        }
    }
    assert_eq!(evals, 77);
    // The others check in the game's clients.
    assert!(checks >= 60, "{checks}");
}

proptest! {
    /// Whatever a program is, the script is refused or has it in one piece and everything of the eval beside it.
    #[test]
    fn whatever_is_said_nothing_of_the_eval_is_lost(program in "[a-z ()=\\[\\]\"'`{}\n-]{0,60}|(end|do|if x then|\n| |x = 1|f\\(\\)|--)*") {
        let eval = Eval::read(EVAL).unwrap();
        if let Ok(script) = eval.with(&program) {
            let again = Eval::read(&script).unwrap();
            prop_assert_eq!(again.has(), eval.has());
            let rest = script.replacen(&format!("local function VertigoAnswer(...)\n{program}\nend\n\n"), "", 1);
            prop_assert_eq!(rest, EVAL.replacen("function()\nend", "function() VertigoAnswer() end", 1));
        }
    }
}
