"""Width, depth and height of an object from its picture and the angles under which a known camera sees it.

The structure flows do not know the camera, and a low long table and a high short one seen from above have the same
outline. Where the camera is known, the outline says more: the lowest line of sight meets the ground that the
object stands on at a distance that is in units of the camera's height above that ground, and the mask's width and
height at that distance are nearly the object's. What is left - its depth, what others hide - a small network guesses
from the condition tokens.

    clues of the mask and the camera --+
    learned queries --------------------+--> attend to the tokens, three times -> log sides over the outline's, spread

Source: our own. Legend: B objects, P picture side, T condition tokens.
Frame: z up, camera along +y; widths run along x, depths along y, heights along z.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scenewright.nn.attention import plain_attention
from scenewright.systems.assembly.structures import SizeEstimates

__all__ = [
    "Outlines",
    "ProportionsConfig",
    "ProportionsNetwork",
    "outlines_of",
    "sides_of",
    "size_estimates",
    "stretched_to",
]

NUM_CLUES = 15
_NUM_SAID = 4
# The lowest line of sight falls at least so steeply; else the ground is too far away to say anything.
_LEAST_SLOPE = 0.03
_SPREADS = (-4.0, 1.0)
# Standard deviation of the flows' proportions, and of what is said in units of what it says: root of 2 for the form
# (Laplace), a third more on models that it never saw.
_SHAPE_SPREAD = 0.2
_TRUST = 1.9
# The most that a side is changed by, as a logarithm. Where both differ more, the shape lacks parts or the network errs,
# and larger stretches make shapes worse (docs/mini.md).
_MOST = 0.12


@dataclass(frozen=True)
class Outlines:
    """Sizes of objects as masks and cameras tell them.

    Attributes:
        clues: numbers of size 1 for the network.
        log_sides: of width, depth, height and distance, in heights of the eye above what the object stands on, if the
            object were a flat sign as deep as it is wide at the foot of the mask.
    """

    clues: Float[Tensor, "B 15"]
    log_sides: Float[Tensor, "B 4"]


def outlines_of(
    masks: Float[Tensor, "B P P"],
    occluders: Float[Tensor, "B P P"],
    crop_from_world: Float[Tensor, "B 3 4"],
    ground: Float[Tensor, " B"],
) -> Outlines:
    """The outlines of objects in their own crops.

    Args:
        masks, occluders: shares of each pixel that belong to the object and to others.
        crop_from_world: takes homogeneous points to homogeneous places in the crop (see `cube_projection`).
        ground: height of what each object stands on, below the eye; the floor is z = 0.
    """
    linear, shift = crop_from_world[:, :, :3].double(), crop_from_world[:, :, 3].double()
    rays = torch.linalg.inv(linear)
    eye = -(rays @ shift[..., None])[..., 0]
    left, right = _ends(masks.amax(1))
    upper, lower = _ends(masks.amax(2))
    middle_x, middle_y = (left + right) / 2, (upper + lower) / 2
    places = torch.stack(
        [
            torch.stack([left, middle_y], -1),
            torch.stack([right, middle_y], -1),
            torch.stack([middle_x, upper], -1),
            torch.stack([middle_x, lower], -1),
        ],
        1,
    ).double()
    seen = torch.cat([places, torch.ones_like(places[..., :1])], -1) @ rays.mT
    seen = seen / seen[..., 1:2].clamp(min=1e-3)
    across, high, low = seen[:, 1, 0] - seen[:, 0, 0], seen[:, 2, 2], seen[:, 3, 2]
    slope = (-low).clamp(min=_LEAST_SLOPE)
    log_foot = -slope.log()
    log_across, log_along = across.clamp(min=1e-3).log(), (high - low).clamp(min=1e-3).log()
    axis = linear[:, 2] / linear[:, 2].norm(dim=1, keepdim=True)
    count, half = masks.sum((1, 2)).clamp(min=1), masks.shape[1] // 2
    hidden = [
        occluders[:, half:].sum((1, 2)) / count,
        occluders[:, :half].sum((1, 2)) / count,
        occluders[:, :, :half].sum((1, 2)) / count,
        occluders[:, :, half:].sum((1, 2)) / count,
    ]
    rows = (torch.arange(masks.shape[1], device=masks.device) + 0.5) / half - 1
    spread = masks / count[:, None, None]
    clues = torch.stack(
        [
            (seen[:, 0, 0] + seen[:, 1, 0]),
            2 * (low + 0.6),
            2 * (high + 0.3),
            log_across + 1,
            log_along + 1,
            log_across - log_along,
            log_foot - 0.7,
            4 * (torch.asin((-axis[:, 2]).clamp(-1, 1)) - 0.4),
            (ground.double() / eye[:, 2].clamp(min=1e-3)),
            count / masks[0].numel() * 4 - 1,
            (spread * rows[:, None]).sum((1, 2)) * 4,
            *(part.clamp(max=1) for part in hidden),
        ],
        1,
    )
    log_sides = torch.stack([log_across + log_foot, log_across + log_foot, log_along + log_foot, log_foot], 1)
    return Outlines(clues.float(), log_sides.float())


def _ends(present: Float[Tensor, "B P"]) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
    """Where the first and the last pixel that is more than half the object's begin and end, from -1 to 1."""
    side = present.shape[1]
    there = (present > 0.5).float()
    first = there.argmax(1)
    last = side - there.flip(1).argmax(1)
    return 2 * first / side - 1, 2 * last / side - 1


@dataclass(frozen=True)
class ProportionsConfig:
    """Sizes of the network."""

    channels: int = 128
    token_channels: int = 192
    num_queries: int = 6
    num_blocks: int = 3
    num_heads: int = 4
    dropout: float = 0.1


class _Block(nn.Module):
    def __init__(self, config: ProportionsConfig) -> None:
        super().__init__()
        width = config.channels
        self.heads = config.num_heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_q, self.to_kv = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.to_out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "B Q C"], tokens: Float[Tensor, "B T C"]) -> Float[Tensor, "B Q C"]:
        found = plain_attention(self.to_q(self.norm1(x)), self.to_kv(tokens), self.heads)
        x = x + self.dropout(self.to_out(found))
        return x + self.dropout(self.mlp(self.norm2(x)))


class ProportionsNetwork(nn.Module):
    """Logarithms of width, depth, height and distance relative to `Outlines.log_sides`, and of their spreads."""

    def __init__(self, config: ProportionsConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ProportionsConfig()
        width = config.channels
        self.queries = nn.Parameter(torch.empty(config.num_queries, width).normal_(std=0.5))
        self.clues = nn.Sequential(nn.Linear(NUM_CLUES, width), nn.GELU(), nn.Linear(width, width))
        self.tokens_in = nn.Sequential(nn.LayerNorm(config.token_channels), nn.Linear(config.token_channels, width))
        self.place = nn.Parameter(torch.empty(64, width).normal_(std=0.2))
        self.token_dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList([_Block(config) for _ in range(config.num_blocks)])
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(config.num_queries * width, 2 * _NUM_SAID)
        nn.init.zeros_(self.out.weight)

    def forward(
        self, tokens: Float[Tensor, "B T Cc"], clues: Float[Tensor, "B 15"]
    ) -> tuple[Float[Tensor, "B 4"], Float[Tensor, "B 4"]]:
        """The said logarithms, and those of their mean absolute errors (scales of Laplace distributions)."""
        keys = self.token_dropout(self.tokens_in(tokens) + self.place)
        x = self.queries + self.clues(clues)[:, None]
        for block in self.blocks:
            x = block(x, keys)
        said, spread = self.out(self.norm(x).flatten(1)).chunk(2, 1)
        return said, spread.clamp(*_SPREADS)


def sides_of(coords: Int[Tensor, "n 3"], resolution: int) -> Float[Tensor, " 3"]:
    """Sides of the box of some cells, in sides of the cube."""
    return (coords.amax(0) - coords.amin(0) + 1) / resolution


def size_estimates(network: ProportionsNetwork, tokens: Float[Tensor, "B T Cc"], outlines: Outlines) -> SizeEstimates:
    """Lengths that the network tells of objects, with the errors that it has on models that it never saw."""
    device = network.place.device
    said, log_spread = network(tokens.to(device), outlines.clues.to(device))
    return SizeEstimates(said.cpu() + outlines.log_sides, _TRUST * log_spread.exp().cpu())


def stretched_to(shapes: Sequence[Int[Tensor, "_ 3"]], resolution: int, sizes: SizeEstimates) -> Float[Tensor, "B 3"]:
    """Factors of width, depth and height that bring shapes to likelier proportions; the longest side keeps its length.

    The shapes' own proportions count, too, as far as they are usually off.

    Args:
        shapes: voxels of each, which does not leave its cube.
    """
    sides = torch.stack([sides_of(shape, resolution) for shape in shapes])
    own = sides.log()
    wanted = sizes.log_lengths[:, :3]
    weight = sizes.deviations[:, :3].pow(-2)
    prior = _SHAPE_SPREAD**-2
    # The scale c of a shape is free: of sum(weight (y - wanted)^2 + prior (y - own - c)^2) the least over y and c.
    joint = weight * prior / (weight + prior)
    scale = (joint * (wanted - own)).sum(1, keepdim=True) / joint.sum(1, keepdim=True)
    factors = (weight * (wanted - own - scale) / (weight + prior)).clamp(-_MOST, _MOST).exp()
    factors = factors * (sides.amax(1) / (factors * sides).amax(1))[:, None]
    # The surface ends somewhere between the outermost cell and the middle of the next.
    reach = torch.stack([(2 * shape + 1 - resolution).abs().amax(0) + 2 for shape in shapes])
    return factors.minimum((resolution / reach).clamp(min=1))
