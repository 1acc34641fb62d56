import math

import pytest

from scenewright.cli.catalogue import RECORDS, SYSTEMS
from scenewright.weights.record import LatentStatistics


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


def test_the_eight_image_files_carry_their_hashes():
    verified = [r for r in RECORDS.values() if r.repository == "microsoft/TRELLIS-image-large"]
    assert len(verified) == 8
    assert all(record.sha256 and record.size_bytes for record in verified)
    assert len({record.sha256 for record in verified}) == 8


def test_systems_name_known_networks():
    assert all(name in RECORDS for system in SYSTEMS for name in system.networks)


def test_latent_statistics_need_as_many_means_as_deviations():
    with pytest.raises(ValueError, match="got 2 and 1"):
        LatentStatistics((0.0, 0.0), (1.0,))
