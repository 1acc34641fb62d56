"""The interface asked by its own schema: whatever is sent that way, the service answers, and as the schema says.

A longer run: uv run pytest -n 0 tests/serve/test_interface.py --hypothesis-profile=long
"""

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serve.server import TOKENS, Server

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
settings.register_profile("long", max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("short", max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def interface(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    with Server(tmp_path_factory.mktemp("interface")) as server:
        yield schemathesis.openapi.from_url(f"{server.address}/openapi.json", headers=bearer())


def bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS['ann']}"}


schema = schemathesis.pytest.from_fixture("interface")


@schema.parametrize()
def test_every_answer_is_one_of_the_interface(case: schemathesis.Case) -> None:
    case.call_and_validate(headers=bearer(), checks=CHECKS, timeout=120)
