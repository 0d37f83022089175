"""Loads a base with an adapter, and the model that they were fused to, as mlx-lm's users do: fused.py BASE ADAPTER FUSED. Called by
tests/fleet/peer.rs.

Prints one JSON line: the tokens that each answers greedily, and how many bytes the fused folder's weights have.
"""
import glob, json, os, sys
import mlx.core as mx
from mlx_lm import load
from mlx_lm.generate import generate_step

mx.set_default_device(mx.cpu)
TOKENS = 24


def answer(model, tokenizer):
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "Print hello."}], add_generation_prompt=True)
    steps = generate_step(mx.array(prompt), model, max_tokens=TOKENS)
    return [int(token) for token, _ in steps]


base, adapter, fused = sys.argv[1:]
with_adapter = answer(*load(base, adapter_path=adapter))
size = sum(os.path.getsize(path) for path in glob.glob(os.path.join(fused, "*.safetensors")))
print(json.dumps({"adapter": with_adapter, "fused": answer(*load(fused)), "base": answer(*load(base)), "bytes": size}))
