"""Whether one of three sides of a dataset knows what is on another: every row is compared with every row of the other sides.

  leaks.py FOLDER [THRESHOLD]        reads FOLDER/{train,valid,test}.jsonl; ends with 1 where there is a leak

It shares no code with what makes datasets, and nothing clever is in it: two rows are near where the sets of three words in a row that they
say share the threshold (default: 0.8) of what either has. What the system says and which tools there are is no part of that.
"""

import json
import pathlib
import re
import sys

SIDES = ("train", "valid", "test")


def said(value):
    """All texts, names of keys and numbers of a value, in the order of the keys."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, bool):
        return [str(value)]
    if isinstance(value, (int, float)):
        return [json.dumps(value)]
    if isinstance(value, list):
        return [text for item in value for text in said(item)]
    if isinstance(value, dict):
        return [text for key in sorted(value) for text in [key, *said(value[key])]]
    return []


def texts(row):
    if "messages" not in row:
        return [row["text"]]
    out = []
    for message in row["messages"]:
        if message["role"] == "system":
            continue
        out += [message.get("content") or "", message.get("reasoning_content") or ""]
        for call in message.get("tool_calls") or []:
            out += [call["function"]["name"], *said(call["function"]["arguments"])]
    return out


def threes(row):
    words = re.findall(r"\w+", "\n".join(texts(row)).lower())
    if len(words) < 3:
        return {tuple(words)} if words else set()
    return {tuple(words[at : at + 3]) for at in range(len(words) - 2)}


def question(row):
    """What comes before the last answer, without the system's turn."""
    messages = row.get("messages", [])
    last = max((at for at, message in enumerate(messages) if message["role"] == "assistant"), default=0)
    before = [message for message in messages[:last] if message["role"] != "system"]
    return json.dumps(before, sort_keys=True) if before else None


def main(folder, threshold):
    rows = []
    for side in SIDES:
        for line in (pathlib.Path(folder) / f"{side}.jsonl").read_text("utf-8").split("\n"):
            if line:
                row = json.loads(line)
                row.pop("weight", None)
                rows.append((side, json.dumps(row, sort_keys=True), question(row), threes(row)))
    equal = prompts = near = 0
    examples = []
    for at, (side, text, asked, words) in enumerate(rows):
        for other_side, other_text, other_asked, other_words in rows[:at]:
            if side == other_side:
                continue
            equal += text == other_text
            prompts += asked is not None and asked == other_asked
            # Sets of too unlike a size share too little, whatever is in them.
            least, most = sorted((len(words), len(other_words)))
            if most == 0 or least < threshold * most:
                continue
            both = len(words & other_words)
            if both / (len(words) + len(other_words) - both) >= threshold:
                near += 1
                examples.append([side, text[:200], other_side, other_text[:200]])
    print(json.dumps({"rows": len(rows), "equal": equal, "prompts": prompts, "near": near, "examples": examples[:5]}))
    return 1 if equal or prompts or near else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 0.8))
