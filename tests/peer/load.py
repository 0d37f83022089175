"""Loads a base with an adapter as mlx-lm's users do, and lets it answer: load.py BASE ADAPTER. Called by tests/fleet/peer.rs.

Prints one JSON line: the tokens of the answer, and the mean loss of a fixed text with the adapter and without it.
"""
import json, sys
import mlx.core as mx, mlx.nn as nn
from mlx_lm import generate, load

mx.set_default_device(mx.cpu)
TEXT = "local Players = game:GetService(\"Players\")\nPlayers.PlayerAdded:Connect(function(player)\n\tprint(player.Name)\nend)\n"


def loss(model, tokenizer):
    ids = mx.array([tokenizer.encode(TEXT)])
    logits = model(ids[:, :-1]).astype(mx.float32)
    return nn.losses.cross_entropy(logits, ids[:, 1:], reduction="mean").item()


base, adapter = sys.argv[1:]
plain, tokenizer = load(base)
without = loss(plain, tokenizer)
model, tokenizer = load(base, adapter_path=adapter)
prompt = tokenizer.apply_chat_template([{"role": "user", "content": "Print hello."}], add_generation_prompt=True)
answer = generate(model, tokenizer, prompt=prompt, max_tokens=4)
print(json.dumps({"answer": tokenizer.encode(answer), "loss": loss(model, tokenizer), "without": without}))
