"""Peak host memory and time of loading a weight file of the published structure flow's shapes (1.1 GB).

    uv run python -m benchmarks weights_memory [--blocks 24] [--folder DIR]

A random file with the names, shapes and dtypes of TRELLIS's `ss_flow_img_dit_L_16l8_fp16` is written once. Each case
then runs in a process of its own, which imports everything, notes its resident memory, loads, and reports the growth
of the peak (VmHWM, so the peak of the load itself) relative to the file. Cases:

  as stored   module in the file's dtypes: the module is as large as the file
  bf16        module in bfloat16 throughout
  fp32        module in float32: twice the file, which no loader can go below
  read back   safetensors.torch.load_file + load_state_dict into an ordinary module, the usual way, for comparison
"""

import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from benchmarks.measure import Report, in_new_process
from scenewright.weights.load import load_weights

DTYPES = {"as stored": None, "bf16": torch.bfloat16, "fp32": torch.float32}


def published_shapes(num_blocks: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Names, shapes and dtypes of the structure flow's state dict (24 blocks as published)."""
    half, single = torch.float16, torch.float32
    table: dict[str, tuple[tuple[int, ...], torch.dtype]] = {
        "pos_emb": ((4096, 1024), single),
        "t_embedder.mlp.0.weight": ((1024, 256), single),
        "t_embedder.mlp.0.bias": ((1024,), single),
        "t_embedder.mlp.2.weight": ((1024, 1024), single),
        "t_embedder.mlp.2.bias": ((1024,), single),
        "input_layer.weight": ((1024, 8), single),
        "input_layer.bias": ((1024,), single),
        "out_layer.weight": ((8, 1024), single),
        "out_layer.bias": ((8,), single),
    }
    linears = {
        "self_attn.to_qkv": (3072, 1024),
        "self_attn.to_out": (1024, 1024),
        "cross_attn.to_q": (1024, 1024),
        "cross_attn.to_kv": (2048, 1024),
        "cross_attn.to_out": (1024, 1024),
        "mlp.mlp.0": (4096, 1024),
        "mlp.mlp.2": (1024, 4096),
        "adaLN_modulation.1": (6144, 1024),
    }
    for block in range(num_blocks):
        prefix = f"blocks.{block}."
        for name, shape in linears.items():
            table[f"{prefix}{name}.weight"] = (shape, half)
            table[f"{prefix}{name}.bias"] = ((shape[0],), half)
        table |= {f"{prefix}norm2.{leaf}": ((1024,), single) for leaf in ("weight", "bias")}
        table |= {f"{prefix}self_attn.{which}_rms_norm.gamma": ((16, 64), single) for which in "qk"}
    return table


def build(table: dict[str, tuple[tuple[int, ...], torch.dtype]]) -> nn.Module:
    """A module whose state dict is exactly `table`."""
    root = nn.Module()
    for name, (shape, dtype) in table.items():
        *path, leaf = name.split(".")
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, nn.Module())
            module = module.get_submodule(part)
        module.register_parameter(leaf, nn.Parameter(torch.empty(shape, dtype=dtype)))
    return root


def status_bytes(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def measure(case: str, path: Path, num_blocks: int) -> dict[str, float]:
    table = published_shapes(num_blocks)
    load_weights(lambda: nn.Linear(1, 1), _tiny(path.parent))  # imports and first-use allocations, not the load itself
    before = status_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the present
    start = time.perf_counter()
    if case == "read back":
        module = build(table)
        module.load_state_dict(load_file(path))
    else:
        module = load_weights(lambda: build(table), path, dtype=DTYPES[case])
    seconds = time.perf_counter() - start
    size = sum(parameter.nbytes for parameter in module.parameters())
    return {"peak": status_bytes("VmHWM") - before, "module": size, "seconds": seconds}


def _tiny(folder: Path) -> Path:
    path = folder / "tiny.safetensors"
    if not path.exists():
        save_file({"weight": torch.ones(1, 1), "bias": torch.ones(1)}, path)
    return path


QUICK = {"blocks": 1}


def section(report: Report, *, blocks: int = 24, folder: Path = Path(tempfile.gettempdir())) -> None:
    """Prints a row for each case."""
    path = folder / f"structure_flow_{blocks}_blocks.safetensors"
    if not path.exists():
        save_file(
            {name: torch.randn(shape).to(dtype) for name, (shape, dtype) in published_shapes(blocks).items()}, path
        )
    size = path.stat().st_size
    path.read_bytes()  # into the page cache, so that cases differ by their own work only
    report(f"File of {size / 1e6:.0f} MB.")
    report.table("case", "peak MB", "peak / file", "peak / module", "seconds")
    for case in (*DTYPES, "read back"):
        found = in_new_process(measure, case, path, blocks)
        peak, module = found["peak"], found["module"]
        shares = f"{peak / size:.2f}", f"{peak / module:.2f}"
        report.row(case, f"{peak / 1e6:.0f}", *shares, f"{found['seconds']:.2f}")
        if case != "read back":
            report.ratio(f"{case}: peak / module", peak / module)
