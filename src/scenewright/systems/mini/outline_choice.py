"""Shapes chosen by outline and picture: an object's samples, weighed by how they cover the mask, and what is seen.

The mean of samples that disagree is blurred and has holes. So places are fitted first (`layout_fit`); then every
sample of every object is projected where the object stands and compared with its mask, and the samples are averaged by
weights that fall quickly with what does not fit. Two means are joined: of what is occupied, which keeps thin parts on
which samples differ by a voxel, and of what is enclosed, which has no holes to look through. What a network reads in
the picture where each cell projects to (`pixel_aligned`) weighs the samples, too, and rules out what is not there.
Where nothing covers the mask, such as at legs on whose places the samples differ, the likeliest cells are added, and
where the surface lies far behind what the network sees, as in a pot that is a box, what it sees. How sure all of them
are of a cell says where between it and its neighbours the surface lies. Where it is known how far the camera looks
down, shapes are stretched to likelier proportions (`proportions`) before they are compared with the picture.

Legend: K samples, W objects wanted, R voxels a side, M = R^3, P side of pictures, S pixels of an outline.
Frame: the stage's world, z up.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenewright.geometry.camera.cube_projection import cell_centres, projected
from scenewright.geometry.camera.projection import camera_center
from scenewright.progress import Advance, ignore
from scenewright.systems.assembly.layout_fit import FittedLayout, fit_layout
from scenewright.systems.assembly.structures import PlacedStructures, SceneRequest
from scenewright.systems.mini.occupancy import filled, outer_shell
from scenewright.systems.mini.pictures import ScenePictures, beyond_picture, crop_from_pixels, occluder_pictures
from scenewright.systems.mini.pixel_aligned import ObjectView, PixelAlignedOccupancy
from scenewright.systems.mini.proportions import Outlines, ProportionsNetwork, outlines_of, size_estimates, stretched_to
from scenewright.systems.mini.sizes import AGREEMENT
from scenewright.systems.mini.surface import SURELY_EMPTY, solid_surface, surfaces_of
from scenewright.types import SceneObject

__all__ = ["Outline", "agreed_solidity", "chosen_by_outline", "may_hide", "with_front", "with_uncovered", "within_mask"]

# A crop's cell is a little larger than the projection of a voxel of 32, so that outlines have no holes.
_SIDE = 36
# Chosen on made scenes, measured on others (docs/mini.md).
_TEMPERATURE = 0.03
_LIKELY_TEMPERATURE = 0.1
_UNLIKELIEST = 0.02
_ENCLOSED_SHARE = 0.45
_RULED_OUT = 0.1
# In units of those shares: the most that counts, and the level of the surface where the network is unsure.
_SUREST, _LEVEL = 1.7, 1.2
_SHOWN_AT_MOST, _UNSURE = 0.8, 0.35
_LEAST_SOLIDITY = 0.15
# How surely the network must hold cells for solid that are added in front, and how far behind them the surface may lie.
_SHOWN, _OPEN = 0.7, 0.15
# Of what covers no mask: the least likelihood that counts (of two, the samples' and the network's), how near to the
# likeliest cell of a pixel others must be, and how solid they are.
_LEAST_LIKELY, _NEARLY, _ADDED_SOLIDITY = 0.1, 0.85, 1.0
# Cells round a cell along x, y and z, and how much they count.
_ROUND, _ROUND_COUNTS = (3, 3, 9), 0.8
# Less than this share of a pixel is the object's: no cell of it projects there, and how surely none does.
_LEAST_SHARE, _SURELY_OUTSIDE = 0.3, 1.0
# Of a shape of which more than this lies outside of its mask the place is wrong, not the shape.
_MOST_OUTSIDE = 0.6
# How far a step moves an outline (in the crop from -1 to 1, and as a factor), all moves of up to two steps of either
# shift and one of the factor, and what they cost.
_STEP, _UNMOVED = torch.tensor([2 / _SIDE, 2 / _SIDE, 0.06]), torch.tensor([0.0, 0.0, 1.0])
_MOVES = torch.cartesian_prod(torch.arange(-2, 3), torch.arange(-2, 3), torch.arange(-1, 2)) * _STEP + _UNMOVED
_MOVE_COSTS = 0.003 * ((_MOVES - _UNMOVED) / _STEP).abs().sum(1)
# How far what carries an object may reach above its base, in its longest sides, as places are not quite right.
_BELOW = 0.15
# What is uncovered begins beyond the pixel in which an outline may err, and reaches back so far.
_UNSURE_PIXELS = 2


@torch.no_grad()
def chosen_by_outline(
    structures: PlacedStructures,
    request: SceneRequest,
    pictures: ScenePictures,
    logits: Float[Tensor, "K W R R R"],
    network: PixelAlignedOccupancy,
    proportions: ProportionsNetwork,
    *,
    advance: Advance = ignore,
) -> PlacedStructures:
    """The structures with the solids of the samples that fit the masks and of the network; places stay as predicted.

    Where it is known how far the camera looks down, shapes are stretched and sizes told (`PlacedStructures.stretches`
    and `sizes`).

    Objects of which no surface would be left keep their voxels, and so do all of a stage whose places are not fitted.

    Args:
        structures: what the samples agree on.
        pictures: of all objects of the request.
        logits: of every sample's occupancy.
        network: reads the picture where cells project to.
        proportions: says how long the objects' sides are.
    """
    surfaces = surfaces_of(structures)
    if not surfaces or structures.layout_errors is None:
        return structures
    wanted = [request.wanted_indices[row] for row in surfaces]
    rows, device = list(surfaces), network.place.device
    seen = torch.cat([pictures.own[wanted], occluder_pictures(request.objects)[wanted][:, None]], 1)
    regions = [request.objects.regions[index] for index in wanted]
    objects = [
        SceneObject("", (surface,), world_from_object=structures.world_from_object[row], mask=region)
        for (row, surface), region in zip(surfaces.items(), regions, strict=True)
    ]
    fitted = _fitted(objects, structures, request)
    crops_from_pixels = torch.stack([crop_from_pixels(region) for region in regions])
    sizes, stretches = None, torch.ones(len(rows), 3)
    if request.knows_pitch:
        tokens = structures.tokens[0, rows]
        sizes = size_estimates(proportions, tokens, _outlines(fitted, crops_from_pixels, seen))
        stretches = stretched_to([structures.coords[row] for row in rows], structures.resolution, sizes)
        objects = [
            replace(item, parts=(replace(item.parts[0], vertices=item.parts[0].vertices * stretch),))
            for item, stretch in zip(objects, stretches, strict=True)
        ]
        fitted = _fitted(objects, structures, request)
        # What they stand on is surer now.
        sizes = size_estimates(proportions, tokens, _outlines(fitted, crops_from_pixels, seen))
    cubes = torch.stack([item.world_from_object.double() for item in fitted.objects])
    stretched = torch.cat([stretches, torch.ones(len(rows), 1)], 1).double().diag_embed()
    crops_from_cubes = (crops_from_pixels @ _pixels_from_world(fitted) @ cubes @ stretched).float()
    prior = logits[:, rows].sigmoid().mean(0)
    view = ObjectView(seen, structures.tokens[0, rows], crops_from_cubes, prior)
    shown = network(view.to(device)).sigmoid().cpu()
    advance(len(rows), 2 * len(rows))
    counts = ~torch.eye(len(request.objects), dtype=torch.bool)
    counts[torch.tensor(wanted)[:, None], torch.tensor(wanted)] = may_hide(fitted)
    hiding = occluder_pictures(request.objects, counts=counts)[wanted]
    coords = list(structures.coords)
    solidity = [_of_voxels(item, structures.resolution) for item in coords]
    for number, row in enumerate(rows):
        own = logits[:, row]
        unknown = torch.maximum(hiding[number], beyond_picture(regions[number]).float())
        outline = Outline.of(seen[number, 3], unknown, crops_from_cubes[number], structures.resolution)
        held = agreed_solidity(own, outline.fit(own > 0), shown[number])
        held = with_front(held, shown[number], outline)
        outline = outline.aligned(held > 0)
        held = with_uncovered(held, own.sigmoid().mean(0) + shown[number], outline)
        held = within_mask(held, outline)
        if len(solid_surface(held.numpy()).faces):
            solidity[row] = held
            coords[row] = torch.from_numpy(outer_shell((held > 0).numpy())).nonzero().int()
        advance(len(rows) + number + 1, 2 * len(rows))
    changed = replace(structures, coords=tuple(coords), solidity=tuple(solidity))
    if sizes is None:
        return changed
    of_all = torch.ones(len(coords), 3)
    of_all[rows] = stretched_to([coords[row] for row in rows], structures.resolution, sizes)
    return replace(changed, stretches=of_all, sizes=sizes.among(rows, len(coords)))


def _fitted(objects: list[SceneObject], structures: PlacedStructures, request: SceneRequest) -> FittedLayout:
    assert structures.layout_errors is not None
    fitted = fit_layout(
        objects,
        structures.layout_errors,
        known=request.camera,
        upright_pitch=request.upright_pitch,
        quality=request.options.sampling.quality,
    )
    assert fitted is not None  # all have a surface and a mask
    return fitted


def _pixels_from_world(fitted: FittedLayout) -> Float[Tensor, "3 4"]:
    return fitted.camera.intrinsics_px.double() @ fitted.camera.cam_from_world[:3].double()


def _outlines(
    fitted: FittedLayout, crops_from_pixels: Float[Tensor, "W 3 3"], seen: Float[Tensor, "W 5 P P"]
) -> Outlines:
    """The outlines of objects that stand where they were fitted."""
    above_floor = torch.eye(4).double()
    above_floor[2, 3] = fitted.floor_z
    crops_from_floor = crops_from_pixels @ _pixels_from_world(fitted) @ above_floor
    bases = [float(item.placed_parts()[0].vertices[:, 2].min()) - fitted.floor_z for item in fitted.objects]
    return outlines_of(seen[:, 3], seen[:, 4], crops_from_floor.float(), torch.tensor(bases))


def may_hide(fitted: FittedLayout) -> Bool[Tensor, "W W"]:
    """Whether an object (column) may hide parts of another one (row): it is neither behind that nor all below it."""
    low, high = torch.stack([item.world_bounds() for item in fitted.objects]).double().unbind(1)
    forward = fitted.camera.cam_from_world[2, :2].double()
    middle, reach = (low + high)[:, :2] @ forward / 2, (high - low)[:, :2] @ forward.abs() / 2
    is_behind = (middle - reach)[None] > middle[:, None]
    # What is seen from above its base is hidden by nothing that ends there, such as the table that it stands on.
    base = low[:, 2] + _BELOW * (high - low).amax(1)
    is_below = (high[None, :, 2] < base[:, None]) & (camera_center(fitted.camera)[2] > low[:, None, 2])
    return ~(is_behind | is_below | torch.eye(len(low), dtype=torch.bool))


def _of_voxels(coords: Int[Tensor, "n 3"], resolution: int) -> Float[Tensor, "R R R"]:
    solidity = torch.full((resolution,) * 3, SURELY_EMPTY)
    solidity[tuple(coords.long().T)] = -SURELY_EMPTY
    return solidity


@dataclass(frozen=True)
class Outline:
    """One object's mask in a coarse grid of its own crop, and the pixels of it that its cube's cells project to.

    Attributes:
        is_mask, counts: pixels of the object, and those where it is known whether it is there.
        is_empty: those of `counts` where nothing of the object is.
        places: of each cell in the crop, from -1 to 1 along each axis.
        depth: of each cell along the camera's axis, in sides of the cube.
    """

    is_mask: Bool[Tensor, " S"]
    counts: Bool[Tensor, " S"]
    is_empty: Bool[Tensor, " S"]
    places: Float[Tensor, "M 2"]
    depth: Float[Tensor, " M"]

    @classmethod
    def of(
        cls,
        mask: Float[Tensor, "P P"],
        unknown: Float[Tensor, "P P"],
        crop_from_cube: Float[Tensor, "3 4"],
        resolution: int,
    ) -> "Outline":
        """
        Args:
            mask, unknown: of the object's own crop, shares of each pixel that are its own, and where it may go on
                behind other objects or beyond the picture's edge.
            crop_from_cube: takes homogeneous points of [-0.5, 0.5]^3 to homogeneous places in the crop
                (`cube_projection`).
        """
        small = F.interpolate(torch.stack([mask, unknown])[:, None], (_SIDE, _SIDE), mode="area")[:, 0]
        places, depth = (part[0] for part in projected(cell_centres(resolution)[None], crop_from_cube[None]))
        is_mask, counts = (small[0] > 0.5).flatten(), (small[1] < 0.5).flatten()
        is_empty = counts & (small[0] < _LEAST_SHARE).flatten()
        return cls(is_mask, counts, is_empty, places, depth / crop_from_cube[2, :3].norm())

    @cached_property
    def _projection(self) -> tuple[Int[Tensor, " M"], Bool[Tensor, " M"]]:
        return _pixels(self.places)

    @property
    def pixels(self) -> Int[Tensor, " M"]:
        """The pixel of each cell, or the nearest one of a cell beside the crop."""
        return self._projection[0]

    @property
    def is_inside(self) -> Bool[Tensor, " M"]:
        """Whether each cell projects into the crop."""
        return self._projection[1]

    def aligned(self, solid: Bool[Tensor, "R R R"]) -> "Outline":
        """The outline with all cells shifted by some pixels, and their picture a little larger or smaller.

        So that the outline of `solid` covers the mask best. Places were fitted to four sides of a rectangle.
        """
        cells = self.places[solid.flatten()]
        pixels, is_inside = _pixels(cells * _MOVES[:, None, 2:] + _MOVES[:, None, :2])
        outlines = torch.zeros(len(_MOVES), len(self.is_mask), dtype=torch.bool)
        outlines[torch.arange(len(_MOVES))[:, None].expand_as(pixels)[is_inside], pixels[is_inside]] = True
        best = _MOVES[(self._covering(outlines) - _MOVE_COSTS).argmax()]
        return replace(self, places=self.places * best[2] + best[:2])

    def most(self, values: Float[Tensor, "*K M"]) -> Float[Tensor, "*K S"]:
        """The largest of the cells' values, which are not negative, at every pixel; 0 where there is no cell."""
        seen = values[..., self.is_inside]
        empty = seen.new_zeros(*seen.shape[:-1], len(self.is_mask))
        return empty.scatter_reduce(-1, self.pixels[self.is_inside].expand_as(seen), seen, "amax")

    def nearest(self, solid: Bool[Tensor, "R R R"]) -> Float[Tensor, " S"]:
        """Depth of the nearest solid cell at every pixel; infinite where there is none."""
        is_seen = self.is_inside & solid.flatten()
        nothing = self.depth.new_full((len(self.is_mask),), torch.inf)
        return nothing.scatter_reduce(0, self.pixels[is_seen], self.depth[is_seen], "amin")

    def fit(self, samples: Bool[Tensor, "K R R R"]) -> Float[Tensor, " K"]:
        """Intersection over union of each sample's outline and the mask, where that is known."""
        return self._covering(self.most(samples.flatten(1).float()) > 0)

    def _covering(self, outline: Bool[Tensor, "K S"]) -> Float[Tensor, " K"]:
        both, either = (outline & self.is_mask & self.counts).sum(1), ((outline | self.is_mask) & self.counts).sum(1)
        return both / either.clamp(min=1)

    def uncovered(self, solid: Bool[Tensor, "R R R"]) -> Bool[Tensor, " S"]:
        """Pixels of the mask that no solid cell projects to, but for those where an outline usually errs."""
        covered = self.most(solid.flatten().float()) > 0
        found = self.is_mask & ~_grown(covered)
        for _ in range(_UNSURE_PIXELS):
            found = _grown(found) & self.is_mask & ~covered
        return found


def _pixels(places: Float[Tensor, "*B 2"]) -> tuple[Int[Tensor, "*B"], Bool[Tensor, "*B"]]:
    """The pixels that hold places from -1 to 1, and whether they do."""
    cells = ((places + 1) / 2 * _SIDE).floor().long()
    x, y = cells.clamp(0, _SIDE - 1).unbind(-1)
    return y * _SIDE + x, ((cells >= 0) & (cells < _SIDE)).all(-1)


def _grown(pixels: Bool[Tensor, " S"]) -> Bool[Tensor, " S"]:
    """Those pixels and the eight round each."""
    return F.max_pool2d(pixels.view(1, 1, _SIDE, _SIDE).float(), 3, 1, 1).flatten() > 0


def agreed_solidity(
    logits: Float[Tensor, "K R R R"], fit: Float[Tensor, " K"], shown: Float[Tensor, "R R R"]
) -> Float[Tensor, "R R R"]:
    """Surety of every cell to be solid, above 0 where it is.

    Solid is what the well fitting samples hold for occupied or for enclosed, less what the picture rules out.

    Args:
        fit: of each sample, see `Outline.fit`.
        shown: what the picture-reading network holds for solid, in [0, 1]; samples of likely voxels weigh more.
    """
    samples = logits > 0
    likely = (samples * shown.clamp(min=_UNLIKELIEST).log()).sum((1, 2, 3)) / samples.sum((1, 2, 3)).clamp(min=1)
    weights = (fit / _TEMPERATURE + likely / _LIKELY_TEMPERATURE).softmax(0)
    solids = torch.stack([torch.from_numpy(filled(sample.numpy())).float() for sample in samples])
    enclosed, occupied = (torch.tensordot(weights, values, 1) for values in (solids, logits.sigmoid()))
    least = occupied.amax().clamp(max=AGREEMENT)
    held = torch.maximum(enclosed / _ENCLOSED_SHARE, occupied / least)
    is_solid = (held >= 1) & (shown >= _RULED_OUT)
    if not bool(is_solid.any()):  # an object with a mask is there, whatever the picture says
        is_solid = held >= 1
    solidity = held.clamp(max=_SUREST) - _LEVEL + shown.clamp(max=_SHOWN_AT_MOST) - _UNSURE
    return torch.where(is_solid, solidity.clamp(min=_LEAST_SOLIDITY), solidity.clamp(max=-_LEAST_SOLIDITY))


def with_uncovered(
    solidity: Float[Tensor, "R R R"], likelihood: Float[Tensor, "R R R"], outline: Outline
) -> Float[Tensor, "R R R"]:
    """Solidity, above 0 also for the likeliest cells of all that project to where the mask shows more than is solid.

    Cells round it count for a cell, those above and below more than those beside, so that a leg is of one piece.
    """
    x, y, z = _ROUND
    round_it = F.avg_pool3d(likelihood[None], _ROUND, 1, (x // 2, y // 2, z // 2))[0]
    likely = likelihood.lerp(round_it, _ROUND_COUNTS).flatten()
    likeliest = outline.most(likely)
    wanting = outline.uncovered(solidity > 0) & (likeliest > _LEAST_LIKELY)
    is_likely = likely >= _NEARLY * likeliest[outline.pixels]
    is_added = (outline.is_inside & wanting[outline.pixels] & is_likely).view_as(solidity)
    return torch.where(is_added, solidity.clamp(min=_ADDED_SOLIDITY), solidity)


def with_front(
    solidity: Float[Tensor, "R R R"], shown: Float[Tensor, "R R R"], outline: Outline
) -> Float[Tensor, "R R R"]:
    """Solidity, above 0 also for what the picture shows in front of a surface that lies far behind it.

    Such as the lid of a box and the seat of a sofa of which the samples made pots, whose outline is the same.

    Args:
        shown: what the picture-reading network holds for solid, in [0, 1].
    """
    is_shown = shown >= _SHOWN
    is_open = outline.is_mask & (outline.nearest(solidity > 0) - outline.nearest(is_shown) > _OPEN)
    is_added = is_shown & (outline.is_inside & is_open[outline.pixels]).view_as(is_shown)
    return torch.where(is_added, solidity.clamp(min=_ADDED_SOLIDITY), solidity)


def within_mask(solidity: Float[Tensor, "R R R"], outline: Outline) -> Float[Tensor, "R R R"]:
    """Solidity, below 0 where a cell projects beside the mask, and it would be seen there.

    A shape of which little would be left is in the wrong place, and stays as it is.
    """
    is_outside = (outline.is_inside & outline.is_empty[outline.pixels]).view_as(solidity)
    is_solid = solidity > 0
    if int((is_solid & is_outside).sum()) > _MOST_OUTSIDE * int(is_solid.sum()):
        return solidity
    return torch.where(is_outside, solidity.clamp(max=-_SURELY_OUTSIDE), solidity)
