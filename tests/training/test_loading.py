"""What a step sees depends on the seed and the step alone."""

from collections.abc import Sequence

import pytest
import torch

from scenewright.errors import InputError
from scenewright.training.loading import BatchStream, derived_seed, sample_order
from tests.training.toy import Circle


def taken(count: int, **settings) -> list[dict[str, torch.Tensor]]:
    stream = BatchStream(Circle(20), **{"batch_size": 8, "seed": 1, **settings})
    batches = [next(stream) for _ in range(count)]
    stream.close()
    return batches


def joined(batches: list[dict[str, torch.Tensor]]) -> torch.Tensor:
    return torch.cat([batch["latent"] for batch in batches])


def test_every_epoch_is_a_new_permutation():
    indices = torch.cat([batch["index"] for batch in taken(5)])
    first, second = indices[:20], indices[20:]
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(20))
    assert first.tolist() != second.tolist()


def test_repeated_samples_are_drawn_anew():
    batches = taken(5)
    indices, latents = torch.cat([batch["index"] for batch in batches]), joined(batches)
    a, b = (indices == 7).nonzero()[:, 0]
    assert not torch.equal(latents[a], latents[b])


def test_workers_splits_and_restarts_do_not_matter():
    expected = joined(taken(6))
    assert torch.equal(joined(taken(6, workers=2)), expected)
    assert torch.equal(joined(taken(12, batch_split=2)), expected)
    assert torch.equal(joined(taken(2, first_step=4)), expected[32:])


def test_processes_take_different_parts_of_the_same_stream():
    both = [taken(3, batch_size=4, rank=rank, world=2) for rank in range(2)]
    for step, batch in enumerate(taken(3)):
        assert torch.equal(joined([both[0][step], both[1][step]]), batch["latent"])


def test_seeds_depend_on_every_number_and_their_order():
    seeds = {derived_seed(*numbers) for numbers in [(1, 2), (2, 1), (1, 3), (1, 2, 0), (1,), (-1, 2)]}
    assert len(seeds) == 6
    assert all(0 <= seed < 1 << 63 for seed in seeds)


def test_long_streams_are_not_shuffled_and_empty_sets_are_refused():
    assert sample_order(1 << 25, 0, 0) is None
    with pytest.raises(InputError, match="at least one sample, got an empty one"):
        BatchStream(Circle(0), batch_size=1)


class Whole(Circle):
    """Gives whole batches at once."""

    def batch(self, indices: Sequence[int], generators: Sequence[torch.Generator]) -> dict[str, torch.Tensor]:
        return {"index": torch.tensor(indices), "latent": torch.rand(len(indices), 2, generator=generators[0])}


def test_a_set_may_give_whole_batches():
    a, b = (next(BatchStream(Whole(20), batch_size=8, seed=1)) for _ in range(2))
    assert torch.equal(a["index"], taken(1)[0]["index"])
    assert torch.equal(a["latent"], b["latent"])
