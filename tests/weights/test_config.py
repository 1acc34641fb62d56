import json
from dataclasses import dataclass

import pytest

from scenewright.errors import InputError
from scenewright.weights.config import config_from_json, read_config


@dataclass(frozen=True)
class Inner:
    channels: tuple[int, ...] = (1,)


@dataclass(frozen=True)
class Config:
    num_blocks: int
    mlp_ratio: float = 4
    channels: tuple[int, ...] = ()
    inner: Inner = Inner()


def test_lists_become_tuples_and_nested_mappings_dataclasses():
    config = config_from_json(Config, {"num_blocks": 2, "channels": [1, 2], "inner": {"channels": [4]}})
    assert config == Config(2, 4, (1, 2), Inner((4,)))


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_blocks": "2"},
        {"num_blocks": 2**31},
        {"num_blocks": -1},
        {"num_blocks": 2, "channels": [1, [2, 3]]},
        {"num_blocks": 2, "channels": [1] * 1000},
        {"num_blocks": 2, "mlp_ratio": "/etc/passwd"},
        {"num_blocks": 2, "inner": {"channels": None}},
    ],
)
def test_values_of_another_type_or_size_are_refused(arguments):
    with pytest.raises(InputError, match=r"(Config|Inner) cannot be made|Expected \w+ from 0 to"):
        config_from_json(Config, arguments)


def test_published_arguments_that_do_not_matter_here_are_dropped():
    assert config_from_json(Config, {"num_blocks": 2, "use_fp16": True, "use_checkpoint": False}) == Config(2)


def test_unknown_arguments_suggest_the_nearest():
    with pytest.raises(InputError, match=r"'num_block' for Config; did you mean 'num_blocks'\?"):
        config_from_json(Config, {"num_block": 2})
    with pytest.raises(InputError, match="known are channels, inner, mlp_ratio, num_blocks"):
        config_from_json(Config, {"num_blocks": 1, "zzz": 2})


def test_required_arguments():
    with pytest.raises(InputError, match="Config needs 'num_blocks'"):
        config_from_json(Config, {})


def test_read_config(tmp_path):
    path = tmp_path / "net.json"
    path.write_text(json.dumps({"name": "Net", "args": {"a": 1}}))
    assert read_config(path) == ("Net", {"a": 1})
    for content in ("", "[]", '{"name": 3, "args": {}}', '{"name": "x"}', "{", "[" * 100_000):
        path.write_text(content)
        with pytest.raises(InputError, match=r"net\.json"):
            read_config(path)
    with pytest.raises(InputError, match="does not exist"):
        read_config(tmp_path / "none.json")
