"""What the pipeline's curation makes of rows, in plain Python, written from its description, for Rust's to be held to. Slow on purpose:
every formula stands here as it is told.

  curation.py verdicts CONFIG FOLDER   a line of JSON for each row of FOLDER/*.jsonl: file, line, tier, curated, quality, verdict;
                                       CONFIG is curation.yaml as JSON
  curation.py time FOLDER              seconds that the verdicts over FOLDER/*.jsonl take, then the verdicts, a line each
"""

import hashlib
import json
import os
import re
import sys
import time
from fnmatch import fnmatch

TYPES = ["export type", ": string", ": number", ": boolean", ": Vector3", ": Player", ": Instance", "--!strict"]
MODERN = ["task.wait", "task.spawn", "task.defer", "game:GetService", "table.freeze", "table.create", "math.lerp", "@native"]
CODE_BEGINS = ("--", "local", "{", "[", "return", "function")
FENCED = re.compile(r"```[\s\S]*?```")


def content(message):
    return message.get("content") or ""


def said_by_assistant(messages, between=""):
    return between.join(content(m) for m in messages if m["role"] == "assistant")


def count_code_lines(text):
    count = 0
    for block in FENCED.findall(text):
        lines = block.strip("`").strip().splitlines()
        if lines and not lines[0].startswith(CODE_BEGINS):
            lines = lines[1:]
        count += len([line for line in lines if line.strip()])
    return count


def tier_of(config, name):
    if any(fnmatch(name, pattern) for pattern in config.get("excluded", [])):
        return "excluded"
    tiers = config.get("tiers", {})
    found = "none"
    if any(fnmatch(name, pattern) for pattern in tiers.get("copy", []) + tiers.get("verified", [])):
        found = "copy"
    for tier in ("code", "score"):
        if any(fnmatch(name, pattern) for pattern in tiers.get("filter_" + tier, {}).get("files", [])):
            found = tier
    return found


def curated(config, tier, row):
    if tier == "copy":
        return True
    if tier == "code":
        text = "\n".join(content(m) for m in row["messages"])
        return count_code_lines(text) >= config["tiers"]["filter_code"].get("min_code_lines", 5)
    if tier == "score":
        rule = config["tiers"]["filter_score"]
        score = row.get(rule.get("score_field", "eval_score"), 0)
        # Theirs ends with a TypeError where the score is no number.
        return isinstance(score, (int, float)) and score >= rule.get("min_score", 0.6)
    return False


def quality(messages):
    text = said_by_assistant(messages)
    has_think = 1.0 if "<think>" in text else 0.0
    if len(text) < 100:
        length = 0.1
    elif len(text) < 200:
        length = 0.4
    elif len(text) < 3000:
        length = 1.0
    elif len(text) < 8000:
        length = 0.7
    else:
        length = 0.4
    types = min(1.0, sum(1 for sign in TYPES if sign in text) / 3)
    modern = min(1.0, sum(1 for sign in MODERN if sign in text) / 3)
    depth = min(1.0, sum(1 for m in messages if m["role"] in ("user", "assistant")) / 4)
    return 0.25 * has_think + 0.20 * length + 0.20 * types + 0.15 * modern + 0.20 * depth


def exact_key(messages):
    normal = [" ".join(content(m).split())[:500] for m in messages]
    return hashlib.md5("|".join(normal).encode()).hexdigest()


def grams(text):
    words = text.split()
    return {hash(" ".join(words[i : i + 3])) for i in range(len(words) - 2)}


def jaccard(a, b):
    if not a or not b:
        return 0.0
    return len(a & b) / len(a | b)


def verdicts(rows, min_score=0.3, threshold=0.7):
    seen, kept, result = set(), [], []
    for row in rows:
        messages = row["messages"]
        if len(messages) < 2:
            result.append("too_few_messages")
            continue
        if not any(m["role"] == "assistant" for m in messages):
            result.append("no_assistant")
            continue
        if quality(messages) < min_score:
            result.append("below_threshold")
            continue
        key = exact_key(messages)
        if key in seen:
            result.append("exact_duplicate")
            continue
        seen.add(key)
        own = grams(said_by_assistant(messages, " "))
        if any(jaccard(own, other) > threshold for other in kept):
            result.append("near_duplicate")
            continue
        kept.append(own)
        result.append("kept")
    return result


def read(folder):
    places, rows = [], []
    for name in sorted(name for name in os.listdir(folder) if name.endswith(".jsonl")):
        with open(os.path.join(folder, name), encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, 1):
                places.append((name, number))
                rows.append(json.loads(line))
    return places, rows


def main(arguments):
    if arguments[0] == "time":
        _, rows = read(arguments[1])
        begin = time.perf_counter()
        found = verdicts(rows)
        print(f"{time.perf_counter() - begin:.6f}")
        print("\n".join(found))
        return
    with open(arguments[1], encoding="utf-8") as file:
        config = json.load(file)
    places, rows = read(arguments[2])
    for (name, number), row, verdict in zip(places, rows, verdicts(rows)):
        tier = tier_of(config, name)
        score = round(quality(row["messages"]), 6)
        is_curated = curated(config, tier, row)
        fields = {"file": name, "line": number, "tier": tier, "curated": is_curated, "quality": score, "verdict": verdict}
        print(json.dumps(fields))


if __name__ == "__main__":
    main(sys.argv[1:])
