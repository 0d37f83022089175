"""mlx-lm's side of tests/bench/fuse_vs_mlx_lm.sh, without its start and its tokenizer:

    fuse_mlx_lm.py adapter BASE OUT          an adapter for all layers, rank 8, whose every tensor is random
    fuse_mlx_lm.py fuse BASE ADAPTER OUT     as mlx_lm/fuse.py does it; prints one JSON line
"""
import json, sys, time
import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.tuner.utils import linear_to_lora_layers, load_adapters
from mlx_lm.utils import load_model, save_config, save_model
from pathlib import Path

mx.set_default_device(mx.cpu)
what, base, second = sys.argv[1:4]
if what == "adapter":
    model, _ = load_model(Path(base))
    model.freeze()
    lora = {"rank": 8, "scale": 20.0, "dropout": 0.0}
    linear_to_lora_layers(model, len(model.layers), lora)
    mx.random.seed(1)
    tensors = {name: 0.01 * mx.random.normal(x.shape) for name, x in tree_flatten(model.trainable_parameters())}
    out = Path(second)
    out.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(str(out / "adapters.safetensors"), tensors)
    settings = {"fine_tune_type": "lora", "num_layers": len(model.layers), "lora_parameters": lora}
    (out / "adapter_config.json").write_text(json.dumps(settings))
    sys.exit()
out = Path(sys.argv[4])
mx.reset_peak_memory()
started = time.time()
model, config = load_model(Path(base))
model = load_adapters(model, second)
fused = [(name, module.fuse(dequantize=False)) for name, module in model.named_modules() if hasattr(module, "fuse")]
model.update_modules(tree_unflatten(fused))
save_model(out, model)
save_config(config, out / "config.json")
took = time.time() - started
print(json.dumps({"peer": "mlx-lm", "work": "fuse", "s": took, "changed": len(fused), "mlx_peak_MB": mx.get_peak_memory() / 1e6}))
