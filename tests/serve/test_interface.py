"""The interface asked by its own schema: whatever is sent that way, the service answers, and as the schema says.

A longer run against a server that is up:

    uv run schemathesis run http://127.0.0.1:8000/openapi.json --checks not_a_server_error -n 300
"""

from pathlib import Path

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serve.server import TOKENS, Server
from tests.serve.test_service import MASKS, PICTURE

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
BEARER = {"Authorization": f"Bearer {TOKENS['ann']}"}


def test_every_answer_is_one_of_the_interface(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        interface = schemathesis.openapi.from_url(f"{server.address}/openapi.json", headers=BEARER)
        operations = [result.ok() for result in interface.get_all_operations()]
        assert len(operations) >= 15
        for operation in operations:

            @settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy())
            def answers(case: schemathesis.Case) -> None:
                case.call_and_validate(headers=BEARER, checks=CHECKS, timeout=120)

            answers()
        with server.client() as ann:
            job = ann.cancel(ann.generate(PICTURE, MASKS, system="cuboid")["id"])
        events = interface["/jobs/{job_id}/events"]["GET"].Case(path_parameters={"job_id": job["id"]})
        answer = events.call_and_validate(headers=BEARER, checks=CHECKS, timeout=120)
        assert b"event: end" in answer.content
