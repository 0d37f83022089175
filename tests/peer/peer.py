"""What mlx-lm makes of a base, an adapter and tokens. Called by worker/engine/tests/mlx_lm.rs; every path is a file or folder of its own.

    peer.py logits BASE ADAPTER TOKENS OUT             logits of TOKENS["tokens"] with the adapter as load_adapters loads it
    peer.py train BASE ADAPTER TOKENS OUT OPTIMIZER    the adapter after 20 steps on the one batch, from ADAPTER
    peer.py gradients BASE LAYERS TOKENS OUT           gradients of every weight of the last LAYERS layers
    peer.py fuse BASE ADAPTER same|unpack OUT          the folder that `mlx_lm.fuse` writes, without a tokenizer
"""
import sys
import mlx.core as mx, mlx.nn as nn, mlx.optimizers as optim
from pathlib import Path
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.tuner.trainer import default_loss
from mlx_lm.tuner.utils import load_adapters
from mlx_lm.utils import dequantize_model, load_model, save_model

mx.set_default_device(mx.cpu)
what, base, second, tokens, out = sys.argv[1:6]
model, _ = load_model(Path(base))
if what == "fuse":  # as mlx_lm/fuse.py does it
    model = load_adapters(model, second)
    unpack = tokens == "unpack"
    fused = [(name, module.fuse(dequantize=unpack)) for name, module in model.named_modules() if hasattr(module, "fuse")]
    model.update_modules(tree_unflatten(fused))
    save_model(out, dequantize_model(model) if unpack else model)
    sys.exit()
batch = mx.load(tokens)
if what == "logits":
    model = load_adapters(model, second)
    model.eval()
    mx.save_safetensors(out, {"logits": model(batch["tokens"]).astype(mx.float32)})
    sys.exit()
model.freeze()
if what == "train":
    model = load_adapters(model, second)  # it freezes all but the adapter
else:
    for layer in model.layers[-int(second):]:
        layer.unfreeze()
model.train()
value_and_grad = nn.value_and_grad(model, default_loss)
step = lambda: value_and_grad(model, batch["tokens"], batch["lengths"])
if what == "gradients":
    (loss, _), gradients = step()
    mx.save_safetensors(out, dict(tree_flatten(gradients)) | {"loss": loss})
    sys.exit()
optimizer = {"adam": lambda: optim.Adam(1e-5), "adamw": lambda: optim.AdamW(1e-5, weight_decay=0.1, bias_correction=True)}[sys.argv[6]]()
for _ in range(20):
    _, gradients = step()
    optimizer.update(model, gradients)
    mx.eval(model.state, optimizer.state)
mx.save_safetensors(out, dict(tree_flatten(model.trainable_parameters())))
