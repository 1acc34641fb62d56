"""Adapters of GenRecon's sampling: synchronised chunks, the constrained Euler sampler, training targets."""

import torch
from torch import Tensor

from scenewright.nn.embed import grid_coords
from scenewright.samplers.euler import euler
from scenewright.samplers.flow import clean_sample, interpolate, velocity_target
from scenewright.samplers.guidance import Velocity, dense_deviation, guided, packed_deviation
from scenewright.samplers.multidiffusion import Overlap, interior_rows, synchronised
from scenewright.samplers.schedule import rescaled_times
from scenewright.systems.genrecon.lattice import ChunkLattice
from scenewright.systems.genrecon.training_samples import padded_views
from scenewright.training.flow_matching import without_condition
from tests.conformance.case import Case
from tests.support.constrained_sampling import constrained

Outputs = dict[str, Tensor]


def numbered(inputs: dict[str, Tensor], stem: str) -> list[Tensor]:
    count = sum(name.startswith(f"{stem}_") and name.removeprefix(f"{stem}_").isdigit() for name in inputs)
    return [inputs[f"{stem}_{index}"] for index in range(count)]


def dense_overlap(lattice: ChunkLattice) -> Overlap:
    cells = grid_coords(lattice.resolution)
    return Overlap.of_chunks([lattice.scene_cells(chunk, cells) for chunk in range(len(lattice.offsets))])


def sparse_overlap(lattice: ChunkLattice, coords: list[Tensor], width: int = 0) -> Overlap:
    cells = [lattice.scene_cells(chunk, rows[:, 1:]) for chunk, rows in enumerate(coords)]
    inner = [interior_rows(rows[:, 1:], lattice.resolution, width) for rows in coords]
    return Overlap.of_chunks(cells, inner if width else None)


def multidiffusion_aggregate(case: Case) -> Outputs:
    config, given = case.config, case.inputs
    lattice = ChunkLattice.from_translations(given["relative_translation"], config["resolution"])
    coords, dense, feats = (numbered(given, stem) for stem in ("coords", "dense", "feats"))
    lengths = [len(rows) for rows in coords]
    outputs = {}

    def store(name: str, chunks) -> None:
        outputs.update({f"{name}_{index}": chunk for index, chunk in enumerate(chunks)})

    grids = torch.cat(dense)
    mean = synchronised(lambda x, t, step: x, dense_overlap(lattice))
    store("dense_mean", mean(grids, 1.0, 0).split(1))
    noise = given["global_noise_dense"][0].movedim(0, -1)
    store("noise_dense", [lattice.cut(noise, chunk).movedim(-1, 0)[None] for chunk in range(len(dense))])
    for name, width in [("sparse_mean", 0)] + [
        (f"sparse_boundary{width}", width) for width in config["boundary_widths"]
    ]:
        overlap = sparse_overlap(lattice, coords, width)
        store(name, overlap.agreed(torch.cat(feats)).split(lengths))
    store("noise_sparse", overlap.copied(given["global_noise_sparse"]).split(lengths))
    return outputs


def multidiffusion_sample(case: Case) -> Outputs:
    config, given = case.config, case.inputs
    lattice = ChunkLattice.from_translations(given["relative_translation"], config["resolution"])
    a, b, c, d, e = given["toy"].tolist()
    near, mean_2d = numbered(given, "cond_3D"), [cond[0].mean(0) for cond in numbered(given, "cond_2D")]
    if config["dense"]:
        side = config["resolution"]
        overlap, deviation, axis = dense_overlap(lattice), dense_deviation, 1
        noise = given["global_noise"][0].movedim(0, -1)
        start = torch.stack([lattice.cut(noise, chunk).movedim(-1, 0) for chunk in range(len(near))])
        here = torch.stack([rows[0].T.unflatten(1, (side, side, side)) for rows in near])
        over = torch.stack(mean_2d)[:, :, None, None, None]
        extra: Tensor | float = 0.0
    else:
        coords = numbered(given, "coords")
        width = config["boundary_width"] if config["boundary_sensitive"] else 0
        overlap, axis = sparse_overlap(lattice, coords, width), 1
        sample = torch.repeat_interleave(torch.arange(len(coords)), torch.tensor([len(rows) for rows in coords]))
        deviation = packed_deviation(sample, len(coords))
        start = overlap.copied(given["global_noise"])
        here, over = torch.cat(near), torch.stack(mean_2d)[sample]
        extra = 0.1 * torch.cat(numbered(given, "concat_cond")) if "concat_cond_0" in given else 0.0

    def velocity_given(is_conditional: bool) -> Velocity:
        def velocity(x: Tensor, t: float, step: int) -> Tensor:
            v = a * x + b * x.roll(1, axis) + e * t + extra
            return v + c * here.tanh() + d * over if is_conditional else v

        return velocity

    velocity = guided(
        velocity_given(True),
        velocity_given(False),
        config["guidance_strength"] - 1,
        tuple(config["guidance_interval"]),
        rescale=config["guidance_rescale"],
        deviation=deviation,
        sigma_min=config["sigma_min"],
    )
    times = rescaled_times(config["steps"], config["rescale_t"])
    final = euler(synchronised(velocity, overlap), start, times)
    parts = final.split(1) if config["dense"] else final.split([len(rows) for rows in near])
    return {f"sample_{index}": part for index, part in enumerate(parts)}


def inpainting(case: Case) -> Outputs:
    config, given = case.config, case.inputs
    a, b, c = given["toy"].tolist()
    strength = config.get("guidance_strength")

    def velocity_given(cond: Tensor) -> Velocity:
        return lambda x, t, step: a * x + b * x.roll(1, 1) + cond[:, :, None, None, None] + c * t

    velocity = guided(
        velocity_given(given["cond"]),
        velocity_given(given.get("neg_cond", given["cond"])),
        0.0 if strength is None else strength - 1,
        deviation=dense_deviation,
        sigma_min=config["sigma_min"],
    )
    known, noise, mask = given["x0"], given["noise"], given["mask"]
    states, clean = [], []

    def record(step: int, t: float, x: Tensor, v: Tensor) -> None:
        states.append(x)
        clean.append(clean_sample(x, v, t, config["sigma_min"]))

    times = rescaled_times(config["steps"], config["rescale_t"])
    final = euler(
        constrained(velocity, known, noise, mask, sigma_min=config["sigma_min"]), noise, times, on_step=record
    )
    return {
        "samples": torch.where(mask > 0.5, known, final),
        "pred_x_t_first": [*states, final][1],
        "pred_x_0_first": clean[0],
    }


def training(case: Case) -> Outputs:
    config, given = case.config, case.inputs
    x0, noise, sigma = given["x0"], given["noise"], config["sigma_min"]
    views = padded_views(
        given["view_feats"], given["extrinsics"], given["intrinsics"], given["cond_batch_idx"], len(x0)
    )
    is_dropped = given["uniform_draw"] < config["p_uncond"]
    target = velocity_target(x0, noise, sigma)
    return {
        "x_t": interpolate(x0, noise, given["t"].view(-1, *[1] * (x0.ndim - 1)), sigma),
        "target": target,
        "loss": torch.nn.functional.mse_loss(given["pred"], target),
        "padded_feats": views.tokens,
        "padded_extrinsics": views.cam_from_joint,
        "padded_intrinsics": views.intrinsics_unit,
        "dropped_cond_2D": without_condition(views.first_tokens, is_dropped),
        "dropped_cond_3D": without_condition(given["cond_3D"], is_dropped),
    }


SAMPLING = {
    "sampler.inpaint": inpainting,
    "training": training,
    "multidiffusion.aggregate": multidiffusion_aggregate,
    "multidiffusion.sample": multidiffusion_sample,
}
