"""The pipeline's two scorers in Python, written from its description, for Rust's to be held to.

  scores.py > worker/evaluation/tests/golden/python_scores.jsonl     random answers with their scores, and searches by `re`
  scores.py --rate ANSWERS TASKS SECONDS                             answers a second over a file of the benchmark's answers
"""

import json
import random
import re
import sys
import time

CONVENTIONS = {
    "coding": ["--!strict", "@native", r":Init\(\)", r":Start\(\)"],
    "bugfix": ["--!strict"],
    "architecture": ["--!strict", r":Init\(\)", r":Start\(\)"],
}
CODE = re.compile(r"(local\s+\w+\s*=|function\s+\w+|return\s+\w+|\bend\b.*\n|--!strict)")
WEIGHTS = {"correctness": 0.4, "convention": 0.2, "tool_selection": 0.2, "code_presence": 0.2}
SIGNS = ["game:GetService", "workspace", "Instance.new", "FindFirstChild", "Script"]


def benchmark_v2(category, patterns, tools, response):
    found = [p for p in patterns if re.search(p, response, re.IGNORECASE)]
    correctness = len(found) / len(patterns) if patterns else 1.0
    wanted = CONVENTIONS.get(category, [])
    convention = sum(1 for p in wanted if re.search(p, response)) / len(wanted) if wanted else None
    tool_selection = sum(1 for name in tools if name in response) / len(tools) if tools else None
    code_presence = None
    if category in ("coding", "bugfix", "architecture", "mcp_tool_calling"):
        code_presence = 1.0 if "```" in response or CODE.search(response) else 0.0
    stripped = response.strip()
    penalty = 1.0
    if len(stripped) < 10 or stripped.startswith("[TIMEOUT]") or stripped.startswith("[ERROR"):
        penalty = 0.0
    elif len(stripped) < 50:
        penalty = 0.3
    dimensions = {
        "correctness": correctness,
        "convention": convention,
        "tool_selection": tool_selection,
        "code_presence": code_presence,
    }
    applicable = [name for name, score in dimensions.items() if score is not None]
    total = sum(dimensions[name] * WEIGHTS[name] for name in applicable)
    overall = total / sum(WEIGHTS[name] for name in applicable) * penalty
    rounded = lambda score: None if score is None else round(score, 3)
    return {
        "correctness": rounded(correctness),
        "convention_score": rounded(convention),
        "tool_selection": rounded(tool_selection),
        "code_presence": rounded(code_presence),
        "failure_penalty": penalty,
        "overall": rounded(overall),
        "applicable_dimensions": applicable,
    }


def opengameeval(response, called):
    code = called or None
    if code is None:
        for fence in ("(?:lua|luau)", ""):
            block = re.search("```" + fence + r"\n(.*?)```", response, re.DOTALL)
            if block:
                code = block.group(1).strip()
                break
    score = 0.0
    if code:
        score = 0.4
        if called:
            score += 0.3
        if sum(1 for sign in SIGNS if sign.lower() in code.lower()) >= 2:
            score += 0.3
    return {"code": code, "score": score, "passed": score >= 0.7}


WORDS = [
    "local x = 1", "function f()", "end", "end\n", "return Service", "--!strict", "@native", ":Init()", ":Start()",
    "```lua\n", "```luau\n", "```\n", "```", "````lua\n", "```json\n", "run_code", "get_console_output", "GetTagged",
    "game:GetService(\"Players\")", "workspace.Part", "Instance.new('Part')", "FindFirstChild", "ServerScriptService",
    "İNIT", "ınit", "ſtrict", "K", "é", "e\u0301", "²", "一", "ß", "\u00a0", "\u001c", "\u3000", "\u200b", "\r\n",
    "\n", "\n\n", " ", "\t", "x", "pcall", "RETRY", "Boot order", "dt", "delta", "the", "of", "a_b", "weekend", "end2",
    "éend", "end²", "Ω", "ω", "μ", "µ", "ς", "σ", "{", "}", "[", "]", "😀", "local\u00a0y\u3000=", "return 一", "_end",
]
ATOMS = [
    r"\w", r"\w+", r"\s", r"\s*", r"\W", r"\S", r"\d", r"\D", r"\b", r"\B", ".", ".*", ".+", "^", "$", r"\Z", r"\A",
    "end", "init", "strict", "I", "[i-k]", "[^a-z]", r"[\w-]+", r"[^\s]", "[]x]", "[[{]", "[é-ü]", "K", "µ", "σ", "ß",
    "{", "}", "]", "x{2}", "x{,2}", "a{1,2}?", "a{x", "(?:a|b)", "(e)", r"(e)\1", "(?=e)", "(?!e)", "(?<=a)", "(?<!a)",
    r"\.", r"\{", r"\x65", r"\u00e9", r"\n", r"\t", r"\-", "|", "?:", "-", "&&", "~~", "#", " ", "@native", r":Init\(\)",
    "(?i:END)", "(?s:.)", "(?m:$)", "(?m:^)", "(?P<q>x)", r"\101", r"[\101]", "[a&&b]", "[a-]", r"[\]]", r"\\",
]
TASK_PATTERNS = [
    "--!strict", r":Init\(\)", r"return\s+\w+Service", "spring|stiffness|damping", "retry|RETRY|attempt", "dt|delta",
    "Init.*Start|boot.*order", r"function.*anchor.*dt", "rate.?limit|throttle", r"return\s*\{", "İnit", r"\binit\b", "ω",
    r"end$", r"^\s*local", r"\w\W\w", "count|#|total|print", r"IsA.*BasePart", "Y.*47|Ascent", "K",
]
TOOLS = ["run_code", "get_console_output", "start_stop_play"]
CATEGORIES = ["coding", "bugfix", "architecture", "mcp_tool_calling", "embodiment", "other"]
BEGINNINGS = [""] * 30 + ["[TIMEOUT]", "[ERROR: no]", " \u001c[TIMEOUT]", "[error]"]


def text(draw, most):
    words = (draw.choice(WORDS) + draw.choice(["", " ", "\n", ""]) for _ in range(draw.randint(0, most)))
    return draw.choice(BEGINNINGS) + "".join(words)


def golden():
    draw = random.Random(9)
    for _ in range(300):
        row = {
            "category": draw.choice(CATEGORIES),
            "patterns": draw.sample(TASK_PATTERNS, draw.randint(0, 7)),
            "tools": draw.sample(TOOLS, draw.choice([0, 0, 1, 2, 3])),
            "response": text(draw, draw.choice([1, 6, 12, 30])),
        }
        yield {"kind": "benchmark_v2", **row, "scores": benchmark_v2(**row)}
    for _ in range(200):
        response = text(draw, draw.choice([1, 6, 30]))
        called = draw.choice([None, None, None, "", text(draw, 4)])
        yield {"kind": "opengameeval", "response": response, "called": called, **opengameeval(response, called)}
    count = 0
    while count < 500:
        pattern = "".join(draw.choice(ATOMS) for _ in range(draw.choice([1, 2, 2, 3, 4])))
        ignores_case = draw.random() < 0.5
        searched = text(draw, draw.choice([0, 1, 8, 20]))
        try:
            found = re.search(pattern, searched, re.IGNORECASE if ignores_case else 0) is not None
        except re.error:
            continue
        count += 1
        yield {"kind": "search", "pattern": pattern, "ignores_case": ignores_case, "text": searched, "found": found}
    for _ in range(100):
        value = draw.choice([draw.random(), draw.randint(0, 64) / 64, draw.randint(0, 9999) / 10000, draw.random() * 100])
        digits = draw.choice([1, 3])
        yield {"kind": "round", "value": value, "digits": digits, "rounded": round(value, digits)}


def rate(answers, tasks, seconds):
    with open(tasks, encoding="utf-8") as file:
        tasks = {task["id"]: task for task in map(json.loads, file)}
    rows = []
    with open(answers, encoding="utf-8") as file:
        for row in map(json.loads, file):
            task = tasks[row["task"]]
            tools = [tool["function"]["name"] for tool in task["tools"] or []]
            rows.append((task["category"], task["expected_patterns"], tools, row["response"], row["scores"]))
    for category, patterns, tools, response, scores in rows:
        assert benchmark_v2(category, patterns, tools, response) == scores
    scored, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        for category, patterns, tools, response, _ in rows:
            benchmark_v2(category, patterns, tools, response)
        scored += len(rows)
    print(f"{scored / (time.perf_counter() - begin):.0f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rate"]:
        rate(sys.argv[2], sys.argv[3], float(sys.argv[4]))
    else:
        for row in golden():
            print(json.dumps(row, ensure_ascii=False))
