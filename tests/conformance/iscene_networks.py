"""Adapters of I-Scene's networks and sampler. Each case runs the plain path and, where it exists, the fast one."""

from typing import Any

import torch
from torch import Tensor

from scenewright.backbones.structure_vae import occupied_coords
from scenewright.backbones.trellis1.published import structure_flow_config
from scenewright.backbones.trellis1.structure_flow import StructureFlow, flow_block
from scenewright.nn.blocks import BlockContext
from scenewright.samplers.config import SamplerConfig
from scenewright.samplers.flow import clean_sample
from scenewright.samplers.schedule import rescaled_times
from scenewright.sparse.attention import Sequences
from scenewright.systems.iscene.config import SceneContextConfig
from scenewright.systems.iscene.context_attention import SceneContextAttention, SlotContext
from scenewright.systems.iscene.published import scene_context_config, type_embedding
from scenewright.systems.iscene.sampling import SlotLatents, sample_structure, structure_noise
from scenewright.systems.iscene.structure_flow import SceneContextFlow
from scenewright.weights.load import load_state
from tests.conformance.case import Case
from tests.support.iscene_published import conditions_from_slots, latent_noise, object_coords, project_external

# The goldens' configurations name a few things that follow from the others.
_DERIVED = ("num_slots", "scene_context_blocks", "cfg_strength", "cfg_interval", "rescale_t", "sigma_min", "steps")
_AGREEMENT = 2e-5


def attention_of(case: Case, num_external: int) -> SceneContextAttention:
    config = case.config
    has_gate, has_key_bias = type_embedding(config["type_embedding_type"])
    layer = SceneContextAttention(
        config["channels"],
        config["num_heads"],
        num_external=num_external,
        qk_rms_norm=config["qk_rms_norm"],
        has_gate=has_gate,
        has_key_bias=has_key_bias,
        key_bias_scale=config["k_bias_scale"],
    )
    return load_state(layer, case.params)


def sca_attention(case: Case) -> dict[str, Tensor]:
    slots, x = case.config["num_slots"], case.inputs["x"]
    layer, lengths = attention_of(case, slots - 1), (x.shape[1],) * len(x)
    packed = x.flatten(0, 1)
    return {
        "h": layer(packed, Sequences(lengths), context=SlotContext(layer, slots)).view_as(x),
        "h_plain_self_attention": layer(packed, Sequences(lengths)).view_as(x),
    }


def sca_attention_external(case: Case) -> dict[str, Tensor]:
    x = case.inputs["x"]
    hidden = [case.inputs[name] for name in sorted(case.inputs) if name.startswith("ext")]
    layer = attention_of(case, len(hidden))
    external = tuple(project_external(layer, tokens, index) for index, tokens in enumerate(hidden))
    context = SlotContext(layer, external=external)
    return {"h": layer(x.flatten(0, 1), Sequences.uniform(*x.shape[:2]), context=context).view_as(x)}


def sc_block(case: Case) -> dict[str, Tensor]:
    config, x, context = case.config, case.inputs["x"], case.inputs["context"]
    names = ("num_heads", "mlp_ratio", "qk_rms_norm", "qk_rms_norm_cross", "share_mod")
    sizes = {"model_channels": config["channels"], "cond_channels": config["ctx_channels"], "patch_size": 1}
    flow = structure_flow_config(sizes | {name: config[name] for name in names})
    has_gate, has_key_bias = type_embedding(config["type_embedding_type"])
    attention = SceneContextAttention(
        flow.model_channels,
        flow.num_heads,
        num_external=config["num_slots"] - 1,
        qk_rms_norm=flow.qk_rms_norm,
        has_gate=has_gate,
        has_key_bias=has_key_bias,
        key_bias_scale=config["k_bias_scale"],
    )
    block = load_state(flow_block(flow, attention if config["is_scene_context"] else None), case.params)
    projected = block.cross_attn.project(context.flatten(0, 1), Sequences.uniform(*context.shape[:2]))
    own = SlotContext(attention, config["num_slots"]) if config["is_scene_context"] else None
    tokens = Sequences.uniform(*x.shape[:2])
    return {"x": block(x.flatten(0, 1), case.inputs["mod"], BlockContext(projected, own), tokens).view_as(x)}


def flow_config(config: dict[str, Any]) -> SceneContextConfig:
    return scene_context_config({name: value for name, value in config.items() if name not in _DERIVED})


def flow_of(case: Case) -> SceneContextFlow:
    config = flow_config(case.config)
    assert list(config.context_blocks) == case.config["scene_context_blocks"]
    return load_state(SceneContextFlow(config), case.params).eval()


def sc_flow_model(case: Case) -> dict[str, Tensor]:
    flow, outputs, strength = flow_of(case), {}, case.config["cfg_strength"]
    for name in sorted(name.removesuffix("_x") for name in case.inputs if name.endswith("_x")):
        x, t, cond = (case.inputs[f"{name}_{part}"] for part in ("x", "t", "cond"))
        v_cond, v_uncond = flow.forward_slots(x, t, cond), flow.forward_slots(x, t, None)
        _close(v_uncond, flow.forward_slots(x, t, torch.zeros_like(cond)))
        if bool((x[:, 1] == x[:1, 1]).all() & (t == t[0]).all() & (cond[:, 1] == cond[:1, 1]).all()):
            _close(v_cond, _once(flow, x, t, cond))
        outputs |= {
            f"{name}_v_cond": v_cond,
            f"{name}_v_uncond": v_uncond,
            f"{name}_v_cfg": (1 + strength) * v_cond - strength * v_uncond,
        }
    return outputs


def _once(flow: SceneContextFlow, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
    """The velocity of all slots with the scene evaluated once."""
    conditions = conditions_from_slots(cond)
    scene, memory = flow.scene_velocity(x[:1, 1], t[:1], flow.project_context(conditions.scene[None]))
    objects = torch.cat([x[:, :1], x[:, 2:]], 1)
    context = flow.project_context(conditions.objects.flatten(0, 1))
    return SlotLatents(scene[0], flow.object_velocity(objects, t, context, memory)).slots()


def sc_sampler(case: Case) -> dict[str, Tensor]:
    config = case.config
    names = {"steps": "steps", "guidance_strength": "cfg_strength", "rescale_t": "rescale_t", "sigma_min": "sigma_min"}
    sampler = SamplerConfig(
        **{ours: config[theirs] for ours, theirs in names.items()}, guidance_interval=tuple(config["cfg_interval"])
    )
    times = rescaled_times(sampler.steps, sampler.rescale_t)
    low, high = sampler.guidance_interval
    outputs = {
        "t_seq": torch.from_numpy(times),
        "cfg_used": torch.tensor([int(low <= t <= high) for t in times[:-1]]),
    }

    def keep(step: int, t: float, x: SlotLatents, v: SlotLatents) -> None:
        outputs[f"x_after_step_{step}"] = x.slots()
        outputs["pred_x0_last"] = clean_sample(x.slots(), v.slots(), t, sampler.sigma_min)

    noise, cond, own_noise = case.inputs["noise"], case.inputs["cond"], None
    if len(noise) > 1:
        if bool((noise[:, 1] != noise[0, 1]).any()):
            raise ValueError("The objects start from different noise of the scene, which is sampled once for all.")
        own_noise, cond = torch.cat([noise[:, :1], noise[:, 2:]], 1), cond.expand(len(noise), *cond.shape[1:])
    flow, conditions = flow_of(case), conditions_from_slots(cond)
    result = sample_structure(flow, conditions, noise[0], sampler, object_noise=own_noise, on_step=keep)
    in_parts = sample_structure(flow, conditions, noise[0], sampler, object_noise=own_noise, objects_at_once=2)
    _close(result.objects, in_parts.objects)
    return outputs | {"samples": result.slots(), f"x_after_step_{sampler.steps}": result.slots()}


def sc_equivalence(case: Case) -> dict[str, Tensor]:
    flow, x, t = flow_of(case), case.inputs["x"], case.inputs["t"]
    slots = flow.scene_config.num_slots
    copies = x[:, None].expand(-1, slots, *x.shape[1:])
    cond = case.inputs["cond"][:, None].expand(-1, slots, -1, -1)
    plain = load_state(StructureFlow(flow.config), case.params).eval()
    expected = plain(x, t, case.inputs["cond"])
    for slot in flow.forward_slots(copies, t, cond).unbind(1):
        _close(slot, expected)
    gated_config = flow_config(case.config | {"type_embedding_type": "enable_gate"})
    gated = SceneContextFlow(gated_config)
    gates = {name: tensor for name, tensor in gated.state_dict().items() if name.endswith("ext_gate")}
    load_state(gated, case.params | gates)
    return {"v": expected, "v_gate_zero": gated.forward_slots(copies, t, cond)[:, 0]}


def noise_order(case: Case) -> dict[str, Tensor]:
    config = case.config
    generator = torch.Generator().manual_seed(config["seed"])
    sizes = SceneContextConfig(with_canonical=config["num_slots"] == 3)
    structure = structure_noise(sizes, generator)
    slat = torch.cat(latent_noise([config["total_voxels"]], 8, generator)).flatten()
    return {
        "ss_head": structure.flatten()[:16],
        "ss_tail": structure.flatten()[-16:],
        "ss_mean": structure.mean()[None],
        "ss_slot1_head": structure[1].flatten()[:16],
        "slat_head": slat[:16],
        "slat_tail": slat[-16:],
    }


def occupancy_to_coords(case: Case) -> dict[str, Tensor]:
    coords = occupied_coords(case.inputs["logits"])
    objects, counts = object_coords(coords, case.config["num_slots"])
    counts += (0,) * (len(case.inputs["logits"]) - len(counts))
    return {"coords": coords, "counts": torch.tensor(counts), "instance_coords": objects}


def _close(ours: Tensor, other: Tensor) -> None:
    error = float((ours - other).detach().abs().max())
    if error > _AGREEMENT * max(1.0, float(other.detach().abs().max())):
        raise AssertionError(f"two paths that must agree differ by {error:.3g}")


NETWORKS = {
    "noise_order": noise_order,
    "occupancy_to_coords": occupancy_to_coords,
    "sc_block": sc_block,
    "sc_equivalence": sc_equivalence,
    "sc_flow_model": sc_flow_model,
    "sc_sampler": sc_sampler,
    "sca_attention": sca_attention,
    "sca_attention_external": sca_attention_external,
}
