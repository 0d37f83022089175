"""A conversation's next turn, asked of an OpenAI server over HTTP: how long until its first token.

    conversation.py model BENCH OUT          the bench model with a tokenizer whose every token is a word of its own, once
    conversation.py ask URL MODEL [TURNS]    a turn of 2,000 tokens, its answer, then TURNS next turns; prints one JSON line

Whatever the model answers reads back as the same tokens, so a server may keep all that it has computed. What is timed is the next turn:
a question of 20 tokens after the 2,000, from the request to the first piece of text that comes back.
"""
import json, pathlib, random, shutil, sys, time, urllib.request

WORDS = 31_000
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_model(bench: pathlib.Path, out: pathlib.Path) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from tokenizers.pre_tokenizers import ByteLevel

    shutil.copytree(bench, out, dirs_exist_ok=True)
    letters = sorted(ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: n for n, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens([AddedToken(f"[{n:05}]", normalized=False) for n in range(WORDS)])
    tokenizer.save(str(out / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "chat_template": TEMPLATE}
    (out / "tokenizer_config.json").write_text(json.dumps(config))


def words(count: int, seed: int) -> str:
    draw = random.Random(seed)
    return "".join(f"[{draw.randrange(WORDS):05}]" for _ in range(count))


def answer(url: str, model: str, messages: list, tokens: int) -> tuple[float, str]:
    """The seconds until the first piece of the answer, and the whole of it."""
    body = {"model": model, "messages": messages, "max_tokens": tokens, "temperature": 0, "stream": True}
    request = urllib.request.Request(url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    begun, first, text = time.perf_counter(), None, ""
    with urllib.request.urlopen(request) as response:
        for line in response:
            if not line.startswith(b"data: {"):
                continue
            for choice in json.loads(line[6:])["choices"]:
                piece = choice["delta"].get("content") or ""
                if piece and first is None:
                    first = time.perf_counter() - begun
                text += piece
    if first is None:
        sys.exit("the answer is empty: the model's first token ends it; take another seed")
    return first, text


def ask(url: str, model: str, turns: int) -> None:
    messages = [{"role": "user", "content": words(2_000, 1)}]
    opening, text = answer(url, model, messages, 8)
    times = []
    for turn in range(turns):
        messages += [{"role": "assistant", "content": text}, {"role": "user", "content": words(20, 2 + turn)}]
        seconds, text = answer(url, model, messages, 8)
        times.append(seconds)
    print(json.dumps({"work": "conversation", "first_turn_s": opening, "next_turn_s": sorted(times)[len(times) // 2]}))


what, *rest = sys.argv[1:]
if what == "model":
    make_model(pathlib.Path(rest[0]), pathlib.Path(rest[1]))
else:
    ask(rest[0], rest[1], int(rest[2]) if len(rest) > 2 else 5)
