#!/usr/bin/env python3
"""Makes classes.luau and enums.luau: what Roblox has, from two public sources, both under the MIT licence.

Properties, their types, defaults and the hierarchy come from `database.msgpack` of the crate rbx_reflection_database; names of methods,
events and callbacks from the generated types of the npm package @rbxts/types. Neither is copied as text: only names and values are read.

    cargo add rbx_reflection_database && cargo fetch   # ~/.cargo/registry/src/*/rbx_reflection_database-*/database.msgpack
    npm pack @rbxts/types && tar xzf rbxts-types-*.tgz
    pip install msgpack
    python3 classes.py DATABASE.msgpack package/include/generated/None.d.ts
"""
import re
import sys
from pathlib import Path

import msgpack

HERE = Path(__file__).parent
HEAD = """--!nocheck
-- {what}
-- Made by classes.py from rbx_reflection_database {version} and @rbxts/types (both MIT); change the script, not this file.
"""

# Defaults that are not saved in files, so that the database does not have them.
DEFAULTS = {
    ("BaseScript", "Enabled"): "t",
    ("Lighting", "ClockTime"): "14",
    ("Player", "CameraMaxZoomDistance"): "128",
    ("Player", "CameraMinZoomDistance"): "0.5",
    ("Player", "CanLoadCharacterAppearance"): "t",
    ("Player", "Neutral"): "t",
    ("Team", "AutoColorCharacters"): "t",
    ("Workspace", "FilteringEnabled"): "t",
}


def number(value):
    if abs(value) > 1e30:
        return "inf" if value > 0 else "-inf"
    return repr(int(value)) if value == int(value) else format(value, ".7g")


def numbers(values):
    return ",".join(number(v) for v in values)


def encode(value):
    """A default as short text, or None where the world has no such value."""
    kind, held = next(iter(value.items()))
    if kind == "Bool":
        return "t" if held else "f"
    if kind in ("Float32", "Float64", "Int32", "Int64", "Enum"):
        return number(held)
    if kind == "String" or kind == "ContentId":
        return re.sub(r"[%|:\n\]]", lambda m: "%%%02x" % ord(m[0]), held)
    if kind in ("Vector3", "Vector2", "UDim", "NumberRange", "Color3"):
        return numbers(held)
    if kind == "Color3uint8":
        return numbers([v / 255 for v in held])
    if kind == "CFrame":
        return numbers(list(held[0]) + [v for row in held[1] for v in row])
    if kind == "UDim2":
        return numbers([v for axis in held for v in axis])
    if kind == "Rect":
        return numbers([v for corner in held for v in corner])
    if kind == "BrickColor":
        return number(held)
    return None


def members(types):
    """Methods, events and callbacks of each class, by the lines of the TypeScript declarations."""
    found, current = {}, None
    for line in types.splitlines():
        if start := re.match(r"interface (\w+)(<.*?>)?( extends .*)? \{", line):
            current = found.setdefault(start[1], ([], [], []))
        elif line == "}":
            current = None
        elif current is not None:
            if name := re.match(r"    (?:readonly )?(\w+): RBXScriptSignal", line):
                current[1].append(name[1])
            elif name := re.match(r"    (\w+)(?:<.*?>)?\(", line):
                current[0].append(name[1])
            elif name := re.match(r"    (\w+)(?:<.*?>)?: .*(?:=>|Callback|\| undefined;)", line):
                current[2].append(name[1])
    return found


def main():
    database = msgpack.unpackb(Path(sys.argv[1]).read_bytes(), strict_map_key=False)
    declared = members(Path(sys.argv[2]).read_text())
    version, classes, enums = ".".join(map(str, database[0])), database[1], database[2]

    def default(name, prop):
        """What a new object of the class, or of the first class below a base that can be made, has."""
        value = classes[name][4].get(prop)
        return None if value is None else encode(value)

    def below(name):
        return [c for c in sorted(classes) if any(a == name for a in ancestors(c))]

    def ancestors(name):
        while name:
            yield name
            name = classes[name][2]

    lines, emitted = [], {}
    for name in sorted(classes, key=lambda c: len(list(ancestors(c)))):
        _, tags, superclass, properties, _ = classes[name]
        flags = "".join(letter for tag, letter in (("NotCreatable", "x"), ("Service", "s")) if tag in tags)
        own, mine = [], {}
        for prop in sorted(properties):
            _, access, kind, prop_tags, _ = properties[prop]
            if access not in ("ReadWrite", "Read", "Custom") or "NotScriptable" in prop_tags:
                continue
            kind = "E" + kind["Enum"] if "Enum" in kind else kind["Value"]
            value = default(name, prop)
            if value is None:
                values = [v for v in (default(c, prop) for c in below(name)) if v is not None]
                value = max(set(values), key=lambda v: (values.count(v), v)) if values else None
            value = DEFAULTS.get((name, prop), value)
            if prop not in ("Name", "Parent", "ClassName"):
                mine[prop] = value
                own.append(prop + ":" + ("!" if access == "Read" else "") + kind + ("" if value is None else ":" + value))
        inherited = {}
        for ancestor in reversed(list(ancestors(superclass) if superclass else [])):
            inherited.update(emitted[ancestor])
        for prop in sorted(classes[name][4]):
            value = default(name, prop)
            if prop in inherited and prop not in mine and value is not None and value != inherited[prop]:
                mine[prop] = value
                own.append(prop + "::" + value)
        emitted[name] = mine
        methods, events, callbacks = declared.get(name, ((), (), ()))
        own += [":m" + m for m in sorted(set(methods))] + [":e" + e for e in sorted(set(events))]
        own += [":c" + c for c in sorted(set(callbacks)) if c not in properties and c != "Parent"]
        lines.append("|".join([name + " " + (superclass or "") + " " + flags] + own))
    head = HEAD.format(what="Roblox's classes: a line is `name super flags|property:type:default|:mmethod|:eevent|:ccallback`.", version=version)
    (HERE / "classes.luau").write_text(head + "return [[\n\n" + "\n".join(sorted(lines)) + "\n]]\n")
    rows = [name + " " + ",".join(f"{item}={value}" for item, value in sorted(enums[name][1].items(), key=lambda i: (i[1], i[0]))) for name in sorted(enums)]
    head = HEAD.format(what="Roblox's enums: a line is `name item=value,item=value`.", version=version)
    (HERE / "enums.luau").write_text(head + "return [[\n\n" + "\n".join(rows) + "\n]]\n")


main()
