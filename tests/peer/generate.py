"""The peer's side of tests/bench/generate_vs_mlx_lm.sh: mlx-lm's answers to random prompts, one JSON line for each measurement.

    generate.py DIR start|decode|prefill|shared|turn…     as worker/engine/benches/generate.rs says
    generate.py DIR greedy TOKENS OUT                     64 greedy tokens after each row of TOKENS["tokens"], as OUT["greedy"]
"""
import time
started = time.time()
import json, sys
from pathlib import Path
import mlx.core as mx

mx.set_default_device(mx.cpu)
from mlx_lm.generate import BatchGenerator, generate_step
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model
import numpy as np

folder, works = Path(sys.argv[1]), sys.argv[2:]
model, config = load_model(folder)
vocab = (config.get("text_config") or config)["vocab_size"]
rng = np.random.default_rng(0)
tokens = lambda count: rng.integers(0, vocab, count).astype(np.int32).tolist()


def run(prompt, count, cache=None):
    """Seconds to the first token, from there to the last, and the tokens."""
    began, first, made = time.time(), None, []
    for token, _ in generate_step(mx.array(prompt), model, max_tokens=count, prompt_cache=cache):
        made.append(int(token))
        first = first or time.time() - began
    return first, time.time() - began - first, made


def start():
    run(tokens(128), 1)
    return {"start_to_first_token_s": time.time() - started}


def decode():
    first, rest, made = run(tokens(128), 64)
    return {"first_token_s": first, "tokens_per_s": (len(made) - 1) / rest}


def prefill():
    return {"first_token_s": run(tokens(1024), 1)[0]}


def shared():
    common = tokens(400)
    prompts = [common + tokens(20) for _ in range(30)]
    began, count = time.time(), 0
    # What batch_generate does, which asks for a tokenizer besides.
    batch = BatchGenerator(model, stop_tokens=[])
    batch.insert(prompts, [128] * len(prompts))
    while responses := batch.next_generated():
        count += len(responses)
    batch.close()
    seconds = time.time() - began
    return {"seconds": seconds, "tokens_per_s": count / seconds}


def turn():
    # The prompt's cache is kept by hand, as mlx-lm's server keeps it between requests.
    before, cache = tokens(2000), make_prompt_cache(model)
    _, _, answer = run(before, 8, cache)
    return {"first_token_s": run(answer[-1:] + tokens(30), 1, cache)[0]}


if works[0] == "greedy":
    prompts = mx.load(works[1])["tokens"].tolist()
    mx.save_safetensors(works[2], {"greedy": mx.array([run(prompt, 64)[2] for prompt in prompts])})
    sys.exit()
for work in works:
    line = {"start": start, "decode": decode, "prefill": prefill, "shared": shared, "turn": turn}[work]()
    print(json.dumps(line | {"peer": "mlx-lm", "work": work, "mlx_peak_MB": mx.get_peak_memory() / 1e6}), flush=True)
