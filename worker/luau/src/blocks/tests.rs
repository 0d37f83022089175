//! What counts as a block, and that any text is taken.

use super::*;
use proptest::prelude::*;

fn sources(answer: &str) -> Vec<String> {
    of(answer).into_iter().map(|block| block.source).collect()
}

fn name(answer: &str) -> Option<String> {
    of(answer).remove(0).name
}

#[test]
fn luau_fences_win_over_bare_ones_and_these_over_the_whole() {
    let both = "Say\n```\nreturn 1\n```\nand\n```luau\nreturn 2\n```\n```json\n{}\n```\n```Lua title=x\nreturn 3\n```";
    assert_eq!(sources(both), ["return 2\n", "return 3\n"]);
    assert_eq!(sources("```\nreturn 1\n```\n```\nnot Luau at all\n```\n```json\n{}\n```"), ["return 1\n"]);
    assert_eq!(sources("local x = 1\nreturn x"), ["local x = 1\nreturn x"]);
    // A block of another language says that the rest is prose.
    assert_eq!(sources("```json\n{}\n```"), [""; 0]);
}

#[test]
fn prose_and_comments_are_no_bare_answer() {
    for text in ["", " \n", "I do not know.", "-- I do not know", "{\"a\": 1}"] {
        assert_eq!(of(text), [], "{text:?}");
    }
}

#[test]
fn a_fence_that_nothing_closes_is_a_block_that_says_so() {
    let blocks = of("First\n```luau\nreturn 1\n```\nthen\n```luau\nlocal x =");
    let seen: Vec<_> = blocks.iter().map(|block| (&*block.source, block.line, block.is_closed)).collect();
    assert_eq!(seen, [("return 1\n", 3, true), ("local x =", 7, false)]);
    assert_eq!(sources("```luau"), [""]);
}

#[test]
fn a_fence_is_closed_by_its_own_kind_only() {
    assert_eq!(sources("````luau\n```\nreturn 1\n````"), ["```\nreturn 1\n"]);
    assert_eq!(sources("~~~luau\n```\n~~~"), ["```\n"]);
    assert_eq!(sources("```luau\nreturn `{1}`\n```"), ["return `{1}`\n"]);
    assert_eq!(sources("1. so:\r\n   ```luau\r\n   return 1\r\n   ```"), ["   return 1\r\n"]);
    assert_eq!(sources("as ```luau``` is"), [""; 0]);
}

#[test]
fn a_files_name_is_found_in_the_first_lines_or_before_the_fence() {
    for (answer, expected) in [
        ("```luau\n-- ReplicatedStorage/Shared/Score.luau\nreturn 1\n```", "ReplicatedStorage/Shared/Score.luau"),
        ("```luau\n--!strict\n\n-- File: Main.server.luau (new)\n```", "Main.server.luau"),
        ("```luau\n--[[ A.lua ]]\n```", "A.lua"),
        ("**Score.luau**\n\n```luau\nreturn 1\n```", "Score.luau"),
        ("### src/Score.server.luau\n```luau\nreturn 1\n```", "src/Score.server.luau"),
        ("`A.luau` uses `shared/B.luau`:\n```luau\nreturn 1\n```", "shared/B.luau"),
        // What the code itself says is nearer.
        ("**A.luau**\n```luau\n-- B.luau\n```", "B.luau"),
    ] {
        assert_eq!(name(answer).as_deref(), Some(expected), "{answer}");
    }
    for answer in [
        "Here it is.\n```luau\nreturn 1\n```",
        "```luau\n-- uses Score.luau\n-- .luau\nreturn 1\n```",
        "```luau\nreturn 1\n\n\n-- A.luau\n```",
        "```luau\nlocal a = 1\nlocal b = 1\nlocal c = 1\n-- A.luau\n```",
    ] {
        assert_eq!(name(answer), None, "{answer}");
    }
    // A name belongs to the next block alone.
    assert_eq!(of("A.luau\n```luau\n```\n```luau\n```")[1].name, None);
}

/// Pieces of which answers are made, so that fences meet often.
fn answer() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("```luau\n".to_owned()),
        Just("```\n".to_owned()),
        Just("~~~lua\r\n".to_owned()),
        Just("````".to_owned()),
        Just("-- a/B.luau\n".to_owned()),
        Just("return 1\n".to_owned()),
        "\\PC{0,8}",
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn every_block_is_a_part_of_the_answer_at_its_line(answer in answer()) {
        let blocks = of(&answer);
        let mut from = 0;
        for (n, block) in blocks.iter().enumerate() {
            let at = answer[from..].find(&block.source);
            prop_assert!(at.is_some(), "{:?} is not in the rest of {:?}", block, answer);
            from += at.unwrap() + block.source.len();
            let before = answer.split_inclusive('\n').take(block.line - 1).map(str::len).sum::<usize>();
            prop_assert!(answer[before..].starts_with(&block.source));
            // Only the last can be open.
            prop_assert!(block.is_closed || n + 1 == blocks.len());
        }
    }
}
