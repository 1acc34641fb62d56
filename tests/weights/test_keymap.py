import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenewright.weights.keymap import IDENTITY, KeyMap
from tests.weights.networks import KEYMAP


def test_numbers_and_the_rest_of_the_name_carry_over():
    table = KeyMap({"blocks.{}.attn.{}.*": "layers.{}.heads.{}.*", "aggregator.*": "*", "a.b": "c"})
    assert table.rename("blocks.12.attn.3.to_q.weight") == "layers.12.heads.3.to_q.weight"
    assert table.rename("aggregator.x.y") == "x.y"
    assert table.rename("a.b") == "c"
    assert table.rename("a.b.c") == "a.b.c"
    assert table.rename("blocks.x.attn.3.w") == "blocks.x.attn.3.w"


@given(st.integers(0, 10**6), st.sampled_from(["weight", "bias"]), st.sampled_from(["mlp.mlp.0", "mlp.mlp.2", "norm"]))
def test_reversing_undoes_renaming(number, leaf, layer):
    name = f"blocks.{number}.{layer}.{leaf}"
    assert KEYMAP.reversed().rename(KEYMAP.rename(name)) == name


def test_names_outside_the_table_stay():
    assert IDENTITY.rename("any.name") == "any.name"


@pytest.mark.parametrize("table", [{"a.{}": "b"}, {"a.*": "b"}, {"a.*.b": "c.*.d"}, {"a": "c", "b": "c"}])
def test_tables_that_cannot_be_reversed_are_refused(table):
    with pytest.raises(ValueError):  # noqa: PT011 - each table breaks another rule
        KeyMap(table)
