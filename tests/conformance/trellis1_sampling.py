"""Adapters of the TRELLIS sampler and flow-matching goldens, which use a toy velocity instead of a network."""

import torch
from torch import Tensor

from scenewright.samplers.euler import euler
from scenewright.samplers.flow import clean_sample, interpolate, velocity_target
from scenewright.samplers.guidance import Velocity, guided, mean_velocity, round_robin
from scenewright.samplers.schedule import rescaled_times
from tests.conformance.case import Case


def toy(x: Tensor, model_t: Tensor, mean: Tensor, *, tanh: bool = True) -> Tensor:
    v = 0.4 * x + 0.2 * torch.sin(0.003 * model_t) * mean
    return v + 0.1 * torch.tanh(x) * mean if tanh else v


def spread(cond: Tensor, x: Tensor, batch_index: Tensor | None) -> Tensor:
    """Mean over condition tokens, in a shape that broadcasts to the state."""
    mean = cond.mean(1)
    if batch_index is not None:
        # A single row stands for every item; of more rows, those of items that hold no voxel are not read.
        return mean if len(mean) == 1 else mean[batch_index]
    return mean.view(*mean.shape, *[1] * (x.ndim - 2))


def toy_velocity(cond: Tensor, calls: list[float], batch_index: Tensor | None = None) -> Velocity:
    def velocity(x: Tensor, t: float, step: int) -> Tensor:
        model_t = torch.tensor(1000 * t, dtype=torch.float32)
        calls.append(float(model_t))
        return toy(x, model_t, spread(cond, x, batch_index))

    return velocity


# Arguments of the published samplers that a golden's variant may leave out.
_DEFAULTS = {"steps": 50, "rescale_t": 1.0, "cfg_strength": 3.0, "cfg_interval": (0.0, 1.0), "sigma_min": 1e-5}


def sample(variant: dict, noise: Tensor, conditional: Velocity, unconditional: Velocity) -> dict[str, Tensor]:
    variant = _DEFAULTS | variant
    kind = variant["sampler"]
    if kind == "FlowEulerSampler":
        velocity = conditional
    elif kind == "FlowEulerCfgSampler":
        velocity = guided(conditional, unconditional, variant["cfg_strength"])
    else:
        velocity = guided(conditional, unconditional, variant["cfg_strength"], tuple(variant["cfg_interval"]))
    times = rescaled_times(variant["steps"], variant["rescale_t"])
    states, estimates = [], []

    def record(step: int, t: float, x: Tensor, v: Tensor) -> None:
        states.append(x)
        estimates.append(clean_sample(x, v, t, variant["sigma_min"]))

    final = euler(velocity, noise, times, on_step=record)
    return {"pred_x_t": torch.stack([*states[1:], final]), "pred_x_0": torch.stack(estimates), "samples": final}


def flow_euler(case: Case) -> dict[str, Tensor]:
    outputs, inputs = {}, case.inputs
    for variant in case.config["variants"]:
        variant = variant | {"sigma_min": case.config["sigma_min"]}
        name = variant["name"]
        if name == "sparse":
            batch_index, calls = inputs["sparse_coords"][:, 0].long(), []
            pair = [toy_velocity(inputs[key], calls, batch_index) for key in ("cond", "neg_cond")]
            results = sample(variant, inputs["sparse_noise"], *pair)
            outputs |= {f"{name}.{key}": value for key, value in results.items()}
            continue
        for suffix, keys in (("b2", ("cond", "neg_cond")), ("b1cond", ("cond1", "neg_cond1"))):
            calls: list[float] = []
            results = sample(variant, inputs["noise"], *[toy_velocity(inputs[key], calls) for key in keys])
            outputs |= {f"{name}.{suffix}.{key}": value for key, value in results.items()}
        outputs[f"{name}.model_t_calls"] = torch.tensor(calls)
    return outputs


def multi_image(case: Case) -> dict[str, Tensor]:
    config, inputs = case.config, case.inputs
    per_image = [toy_velocity(row[None], []) for row in inputs["cond"]]
    negative = toy_velocity(inputs["neg_cond"], [])
    variant = config | {"sampler": "interval"}
    modes = {"stochastic": round_robin(per_image), "multidiffusion": mean_velocity(per_image)}
    return {name: sample(variant, inputs["noise"], velocity, negative)["pred_x_t"] for name, velocity in modes.items()}


def flow_matching(case: Case) -> dict[str, Tensor]:
    inputs, sigma_min = case.inputs, case.config["sigma_min"]
    outputs: dict[str, Tensor] = {"model_t": 1000 * inputs["t"]}
    for prefix in ("", "sparse_"):
        x_0, noise = inputs[f"{prefix}x_0"], inputs[f"{prefix}noise"]
        index = inputs["sparse_coords"][:, 0].long() if prefix else None
        t = inputs["t"] if index is None else inputs["t"][index]
        t = t.view(-1, *[1] * (x_0.ndim - 1))
        x_t, target = interpolate(x_0, noise, t, sigma_min), velocity_target(x_0, noise, sigma_min)
        v = toy(x_t, 1000 * t, spread(inputs["cond"], x_t, index), tanh=False)
        outputs |= {
            f"{prefix}x_t": x_t,
            f"{prefix}target": target,
            f"{prefix}loss": (v - target).square().mean().reshape(1),
        }
    return outputs


MODULES = {
    "FlowEuler samplers": flow_euler,
    "flow matching training step": flow_matching,
    "multi-image sampling modes": multi_image,
}
