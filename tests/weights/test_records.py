import math

import pytest

from scenewright.errors import WeightsError
from scenewright.systems.catalogue import all_records, needs
from scenewright.weights.hub import verify
from scenewright.weights.record import LatentStatistics

RECORDS = all_records()


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS.keys())
def test_facts_are_plausible(record):
    assert record.licence
    assert record.paper
    assert record.sha256 is None or (len(record.sha256) == 64 and int(record.sha256, 16) >= 0)
    if record.size_bytes and record.num_parameters:
        assert 1.9 < record.size_bytes / record.num_parameters < 4.1
    if record.latent is not None:
        assert len(record.latent.mean) in (8, 32)
        assert all(math.isfinite(value) for value in record.latent.mean)
        assert min(record.latent.std) > 0


def test_every_file_is_recorded_once():
    """So that whatever loads a file finds the one hash, licence and rename table there is."""
    assert len({(record.repository, record.file) for record in RECORDS.values()}) == len(RECORDS)
    hashes = [record.sha256 for record in RECORDS.values() if record.sha256]
    assert len(set(hashes)) == len(hashes)


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS.keys())
def test_a_damaged_file_is_refused_where_size_or_hash_is_known(record, tmp_path):
    path = tmp_path / "damaged"
    path.write_bytes(b"damaged")
    if record.sha256 is None and record.size_bytes is None:
        verify(path, record)
        return
    with pytest.raises(WeightsError, match=r"bytes instead of|they are not the published"):
        verify(path, record)


def test_systems_name_known_networks():
    assert all(system.networks for system in needs())


def test_latent_statistics_need_as_many_means_as_deviations():
    with pytest.raises(ValueError, match="got 2 and 1"):
        LatentStatistics((0.0, 0.0), (1.0,))
