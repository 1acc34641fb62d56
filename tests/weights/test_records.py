import math
from pathlib import Path

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


def test_the_promises_on_security_count_the_records_as_they_are():
    text = " ".join((Path(__file__).parents[2] / "SECURITY.md").read_text(encoding="utf-8").split())
    hashed = [record for record in RECORDS.values() if record.sha256]
    sized = [record for record in RECORDS.values() if record.size_bytes and not record.sha256]
    assert f"shows {len(RECORDS)} published files. For {len(hashed)} of them" in text
    assert f"For the other {len(RECORDS) - len(hashed)} it is not" in text
    assert (len(sized), "of seven of these" in text) == (7, True)
    assert {record.revision for record in RECORDS.values()} == {"main"}


def test_systems_name_known_networks():
    assert all(system.networks for system in needs())


def test_latent_statistics_need_as_many_means_as_deviations():
    with pytest.raises(ValueError, match="got 2 and 1"):
        LatentStatistics((0.0, 0.0), (1.0,))
