"""Adapters of the TRELLIS network goldens; networks are built and loaded through the published names."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scenewright.backbones.structure_vae import occupied_coords, structure_vae_losses
from scenewright.backbones.trellis1.published import build_network, published_keymap
from scenewright.backbones.trellis1.slat_decoders import (
    KernelOneConv,
    SLatGaussianDecoder,
    SLatMeshDecoder,
    SLatRadianceFieldDecoder,
    SubdivideBlock,
    activate_gaussians,
)
from scenewright.backbones.trellis1.slat_flow import SLatResBlock
from scenewright.geometry.isosurface.mesh_extraction import extract_mesh
from scenewright.nn.attention import SelfAttention
from scenewright.nn.blocks import BlockContext, ModulatedCrossBlock
from scenewright.nn.embed import TimestepEmbedder, absolute_position_embedding, timestep_frequencies
from scenewright.nn.norm import SparseGroupNorm32
from scenewright.nn.sparse_conv import SparseConv3d
from scenewright.sparse.attention import Sequences, attention, window_sequences
from scenewright.sparse.resample import downsample, subdivide, upsample
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.weights.keymap import KeyMap
from scenewright.weights.load import load_state
from tests.conformance.case import Case

NESTED_CONV = KeyMap({"conv.*": "*"})


def network(case: Case) -> nn.Module:
    built = build_network(case.module, case.config)
    return load_state(built, case.params, keymap=published_keymap(case.module)).eval()


def calls(case: Case, run: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Runs every numbered call of a case; without numbers the whole file is one call."""
    numbered = case.numbered(case.inputs)
    if not numbered:
        return run(case.inputs)
    return {f"{name}__{k}": value for k, inputs in numbered.items() for name, value in run(inputs).items()}


def sparse(inputs: dict[str, Tensor]) -> SparseTensor:
    return SparseTensor(inputs["feats"], inputs["coords"].int())


def per_axis(value: int | list[int]) -> int | tuple[int, int, int]:
    """An option that is one number for all axes, or a list of one per axis."""
    return (value[0], value[1], value[2]) if isinstance(value, list) else value


def attending(config: dict, voxels: VoxelSet) -> Sequences:
    """Rows that attend to each other: those of an item, or those of its windows.

    The serialised modes order rows by a CUDA extension of the published code that no published checkpoint needs.
    """
    mode = config.get("attn_mode", "full")
    if mode == "full":
        return Sequences(voxels.lengths)
    if mode != "windowed":
        raise ValueError(f"attn_mode '{mode}' is used by no published checkpoint; full and windowed are built.")
    return window_sequences(voxels, per_axis(config["window_size"]), per_axis(config.get("shift_window") or 0))


@dataclass(frozen=True)
class Windows:
    """Self-attention within windows, for a block whose other parts go by item (a `SelfContext`)."""

    windows: Sequences

    def attend(self, q: Tensor, k: Tensor, v: Tensor, tokens: Sequences) -> Tensor:
        return attention(q, k, v, self.windows)


def position_embedder(case: Case) -> dict[str, Tensor]:
    coords = case.inputs["coords"]
    return {f"emb_{width}": absolute_position_embedding(coords, width) for width in case.config["channels"]}


def timestep_embedder(case: Case) -> dict[str, Tensor]:
    width = case.config["frequency_embedding_size"]
    embedder = load_state(TimestepEmbedder(case.config["hidden_size"], width), case.params)
    return {"freq": timestep_frequencies(case.inputs["t"], width), "emb": embedder(case.inputs["t"])}


def cross_block(case: Case) -> ModulatedCrossBlock:
    config = case.config
    block = ModulatedCrossBlock(
        config["channels"],
        config["ctx_channels"],
        config["num_heads"],
        config.get("mlp_ratio", 4.0),
        modulation="shared" if config.get("share_mod") else "own",
        qk_rms_norm=config.get("qk_rms_norm", False),
        qk_rms_norm_cross=config.get("qk_rms_norm_cross", False),
    )
    return load_state(block, case.params)


def dense_cross_block(case: Case) -> dict[str, Tensor]:
    block = cross_block(case)

    def run(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x, context = inputs["x"], inputs["context"]
        projected = block.cross_attn.project(context.flatten(0, 1), Sequences.uniform(*context.shape[:2]))
        y = block(x.flatten(0, 1), inputs["mod"], BlockContext(projected), Sequences.uniform(*x.shape[:2]))
        return {"y": y.view_as(x)}

    return calls(case, run)


def sparse_cross_block(case: Case) -> dict[str, Tensor]:
    block = cross_block(case)

    def run(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x, context = sparse(inputs), inputs["context"]
        projected = block.cross_attn.project(context.flatten(0, 1), Sequences.uniform(*context.shape[:2]))
        conditions = BlockContext(projected, Windows(attending(case.config, x.voxels)))
        return {"feats": block(x.feats, inputs["mod"], conditions, Sequences(x.voxels.lengths))}

    return calls(case, run)


def windowed_attention(case: Case) -> dict[str, Tensor]:
    config = case.config
    layer = SelfAttention(config["channels"], config["num_heads"], qk_rms_norm=config.get("qk_rms_norm", False))
    load_state(layer, case.params)

    def run(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x = sparse(inputs)
        windows = attending(config, x.voxels)
        rank = windows.row_index(x.feats.device)
        if windows.order is not None:
            rank = torch.empty_like(rank).index_copy(0, windows.order, rank)
        return {"feats": layer(x.feats, windows), "window_rank": rank}

    return calls(case, run)


def sparse_conv(case: Case) -> dict[str, Tensor]:
    config = case.config
    channels = config["in_channels"], config["out_channels"]
    # Kernel 1 is the mesh decoder's skip connection, which has its own published reading of the weight.
    if config["kernel_size"] == 1:
        pointwise = load_state(KernelOneConv(*channels), case.params, keymap=NESTED_CONV)
        return calls(case, lambda inputs: {"feats": pointwise(inputs["feats"])})
    has_bias = "conv.bias" in case.params
    layer = SparseConv3d(*channels, config["kernel_size"], config.get("dilation", 1), bias=has_bias)
    load_state(layer, case.params, keymap=NESTED_CONV)
    return calls(case, lambda inputs: {"feats": layer(sparse(inputs)).feats})


def down_up_subdivide(case: Case) -> dict[str, Tensor]:
    x = sparse(case.inputs)
    factor = per_axis(case.config.get("factor", 2))
    down, children = downsample(x, factor, count_offset=1), subdivide(x)
    return {
        "down_feats": down.feats,
        "down_coords": down.coords,
        "up_feats": upsample(down, x.voxels, factor).feats,
        "sub_feats": children.feats,
        "sub_coords": children.coords,
    }


def group_norm(case: Case) -> dict[str, Tensor]:
    layer = load_state(SparseGroupNorm32(case.config["num_groups"], case.config["num_channels"]), case.params)
    return calls(case, lambda inputs: {"feats": layer(inputs["feats"], Sequences(sparse(inputs).voxels.lengths))})


def resblock_chain(case: Case) -> dict[str, Tensor]:
    blocks = nn.ModuleDict()
    for name, config in case.config.items():
        out_channels = config.get("out_channels", config["channels"])
        blocks[name] = SLatResBlock(config["channels"], config["emb_channels"], out_channels)
    keymap = KeyMap(
        {f"{name}.{conv}.conv.*": f"{name}.{conv}.*" for name in case.config for conv in ("conv1", "conv2")}
    )
    load_state(blocks, case.params, keymap=keymap)

    def run(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        plain = blocks["plain"](sparse(inputs), inputs["emb"])
        down = blocks["down"](downsample(plain, count_offset=1), inputs["emb"])
        joined = down.replace(torch.cat([down.feats, 0.5 * down.feats], 1))
        up = blocks["up"](upsample(joined, plain.voxels), inputs["emb"])
        return {
            "plain_feats": plain.feats,
            "down_feats": down.feats,
            "down_coords": down.coords,
            "up_feats": up.feats,
        }

    return calls(case, run)


def subdivide_block(case: Case) -> dict[str, Tensor]:
    config = case.config
    block = SubdivideBlock(
        config["channels"], config.get("out_channels") or config["channels"], config.get("num_groups", 32)
    )
    keymap = KeyMap({"out_layers.{}.conv.*": "out_layers.{}.*", "skip_connection.conv.*": "skip_connection.*"})
    load_state(block, case.params, keymap=keymap)

    def run(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        y = block(sparse(inputs))
        return {"feats": y.feats, "coords": y.coords}

    return calls(case, run)


def structure_flow(case: Case) -> dict[str, Tensor]:
    flow = network(case)
    return calls(case, lambda inputs: {"v": flow(inputs["x"], inputs["t"], inputs["cond"])})


def structure_decoder(case: Case) -> dict[str, Tensor]:
    logits = network(case)(case.inputs["z"])
    return {"logits": logits, "coords": occupied_coords(logits)}


def structure_encoder(case: Case) -> dict[str, Tensor]:
    mean, log_variance = network(case)(case.inputs["x"])
    return {"z": mean, "mean": mean, "logvar": log_variance}


def structure_losses(case: Case) -> dict[str, Tensor]:
    inputs, outputs = case.inputs, {}
    for name in ("dice", "bce", "l1"):
        losses = structure_vae_losses(
            inputs["logits"],
            inputs["ss"].float(),
            inputs["mean"],
            inputs["logvar"],
            reconstruction=name,
            kl_weight=case.config["lambda_kl"],
        )
        outputs |= {f"{name}.loss": losses["loss"].reshape(1), f"{name}.rec": losses["reconstruction"].reshape(1)}
        outputs["kl"] = losses["kl"].reshape(1)
    return outputs


def slat_flow(case: Case) -> dict[str, Tensor]:
    flow = network(case)
    return calls(case, lambda inputs: {"feats": flow(sparse(inputs), inputs["t"], inputs["cond"]).feats})


def slat_encoder(case: Case) -> dict[str, Tensor]:
    encoder = network(case)

    def run(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        mean, log_variance = encoder(sparse(inputs))
        return {"mean": mean, "logvar": log_variance}

    return calls(case, run)


def gaussian_decoder(case: Case) -> dict[str, Tensor]:
    decoder = network(case)
    assert isinstance(decoder, SLatGaussianDecoder)

    def run(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        raw = decoder.raw(sparse(inputs))
        outputs = {"raw": raw.feats}
        for item in range(raw.batch_size):
            parameters = decoder.split(raw, item)
            active = activate_gaussians(parameters, decoder.gaussian_config)
            values = {
                "_xyz": parameters.positions,
                "_features_dc": parameters.features_dc,
                "_scaling": parameters.scaling,
                "_rotation": parameters.rotation,
                "_opacity": parameters.opacity,
                "get_xyz": active.means,
                "get_scaling": active.scales,
                "get_rotation": active.quaternions_wxyz,
                "get_opacity": active.opacities[:, None],
            }
            outputs |= {f"b{item}.{name}": value for name, value in values.items()}
        return outputs

    return calls(case, run)


def radiance_field_decoder(case: Case) -> dict[str, Tensor]:
    decoder = network(case)
    assert isinstance(decoder, SLatRadianceFieldDecoder)
    raw = decoder.raw(sparse(case.inputs))
    fields = [decoder.split(raw, item) for item in range(raw.batch_size)]
    return {
        "raw": raw.feats,
        "position": torch.cat([field.positions for field in fields]),
        "trivec": torch.cat([field.trivec for field in fields]),
        "density": torch.cat([field.density for field in fields]),
        "features_dc": torch.cat([field.features_dc for field in fields]),
    }


def mesh_decoder(case: Case) -> dict[str, Tensor]:
    decoder = network(case)
    assert isinstance(decoder, SLatMeshDecoder)
    decoded = decoder(sparse(case.inputs))
    outputs = {"feats": decoded.feats, "coords": decoded.coords}
    for item in range(decoded.batch_size):
        mesh = extract_mesh(*decoded.item(item), 4 * case.config["resolution"])
        outputs |= {f"b{item}.vertices": mesh.vertices, f"b{item}.faces": mesh.faces}
        if mesh.vertex_attributes is not None:
            outputs[f"b{item}.vertex_attrs"] = mesh.vertex_attributes
    return outputs


MODULES = {
    "AbsolutePositionEmbedder": position_embedder,
    "ModulatedSparseTransformerCrossBlock": sparse_cross_block,
    "ModulatedTransformerCrossBlock": dense_cross_block,
    "SLatEncoder": slat_encoder,
    "SLatFlowModel": slat_flow,
    "SLatGaussianDecoder": gaussian_decoder,
    "SLatMeshDecoder": mesh_decoder,
    "SLatRadianceFieldDecoder": radiance_field_decoder,
    "SparseConv3d": sparse_conv,
    "SparseDownsample/SparseUpsample/SparseSubdivide": down_up_subdivide,
    "SparseGroupNorm32": group_norm,
    "SparseMultiHeadAttention(windowed)": windowed_attention,
    "SparseResBlock3d x3": resblock_chain,
    "SparseStructureDecoder": structure_decoder,
    "SparseStructureEncoder": structure_encoder,
    "SparseStructureFlowModel": structure_flow,
    "SparseSubdivideBlock3d": subdivide_block,
    "TimestepEmbedder": timestep_embedder,
    "sparse structure VAE losses": structure_losses,
}
