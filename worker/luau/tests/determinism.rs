//! The same program has the same verdict, to the last character, whichever process runs it and whatever ran there before.

use std::process::Command;
use vertigo_luau::room::Room;
use vertigo_luau::run::{Kind, Limits, Module, Outcome, Program};

/// Says everything of a run that could be the machine's: addresses, orders, times, chance, the texts of numbers.
const TELLING: &str = r#"
    local Telling = {}
    function Telling.all()
        local keys, named = {}, {}
        for n = 1, 50 do
            named["key" .. n * 7919] = n
            named[n * 1.5] = n
            named[Vector3.new(n, 0, -n)] = n
        end
        for key in named do
            table.insert(keys, tostring(key))
        end
        local one, other = {}, function() end
        local list = { one, {}, {}, {} }
        table.sort(list, function(a, b) return tostring(a) < tostring(b) end)
        local thread = coroutine.create(other)
        return table.concat({
            table.concat(keys, " "), tostring(one), `{other} {thread} {list[1] == one} {newproxy()}`, ("%*"):format(buffer.create(1)),
            tostring(os.clock()), tostring(os.time()), os.date(), os.date("%x %X"), tostring(tick()), tostring(DateTime.now()),
            tostring(math.random()), tostring(Random.new():NextNumber()), game:GetService("HttpService"):GenerateGUID(),
            string.format("%.17g %g %e %5.1f", 0.1, 1e21, 1 / 3, -0.05), tostring(1e300), tostring(2 ^ 63), tostring(0 / 0),
            tostring(gcinfo()), game.JobId, debug.traceback(),
        }, "\n")
    end
    print(Telling.all())
    return Telling
"#;

const TEST: &str = r#"
    test("tells", function()
        print(require("answer").all())
        local output = {}
        for _, line in world.output do
            table.insert(output, line.text)
        end
        expect(output).toEqual("something else")
    end)
"#;

fn room() -> Room {
    Room::open(Command::new(env!("CARGO_BIN_EXE_vertigo-luau-room")), Limits::default(), 1).unwrap()
}

fn program(source: &str, test: &str) -> Program {
    let answer = Module { path: "answer".to_owned(), kind: Kind::Module, source: source.to_owned() };
    Program { modules: vec![answer], test: test.to_owned(), seed: 7 }
}

#[test]
fn two_processes_come_to_the_same_verdict_to_the_last_character() {
    let (first, second) = (room(), room());
    // What another program leaves behind in a process's memory moves everything that comes after.
    let filling = "local kept = {} for n = 1, 5000 do kept[n] = {tostring(n)} end return kept";
    let before =
        second.run(&program(filling, "test('x', function() expect(#require('answer')).toBe(5000) end)")).unwrap();
    assert_eq!(before.outcome, Outcome::Passed);
    let said = first.run(&program(TELLING, TEST)).unwrap();
    assert_eq!(said.outcome, Outcome::Failed, "{said:?}");
    assert!(said.output.contains("table: 0x00000000000000") && said.output.len() > 1000, "{}", said.output);
    for room in [&second, &first, &second] {
        assert_eq!(room.run(&program(TELLING, TEST)).unwrap(), said);
    }
}
