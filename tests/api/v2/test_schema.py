"""Every operation of the document is asked odd and ordinary things: never a 500, always what the document says."""

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from modules.api.v2.app import PREFIX, v2_app
from modules.schema import GenerationRequest
from modules.services.access import Exposure
from tests.api.callers import ANNA, Face
from tests.services.fakes import FakeGenerate, house

CHECKS = (
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)


class AtThisMachine:
    """Lets requests come from the machine itself, by the visitor who owns the jobs."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            kept = [(k, v) for k, v in scope["headers"] if k not in (b"host", b"cookie")]
            own = [(b"host", b"127.0.0.1:7860"), (b"cookie", f"noisette_visitor={ANNA}".encode())]
            scope = {**scope, "client": ("127.0.0.1", 5000), "headers": [*kept, *own]}
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    here = house(tmp_path_factory.mktemp("schema"), FakeGenerate())
    here.studio.start()
    here.finish(here.studio.submit(GenerationRequest(prompt="a cat"), ANNA).id)
    app = FastAPI(openapi_url=None)
    app.mount(PREFIX, v2_app(here.studio, Face(), Exposure(), plugins=None, max_upload=10_000))
    yield schemathesis.openapi.from_asgi(f"{PREFIX}/openapi.json", AtThisMachine(app))
    here.studio.close(2.0)


def test_it_answers_as_it_says(document):
    # schemathesis' own parametrisation wants a private part of an older pytest.
    operations = [result.ok() for result in document.get_all_operations()]
    assert len(operations) == 18
    seen: dict[str, set[int]] = {}
    for operation in operations:
        statuses = seen.setdefault(operation.label, set())

        @settings(
            max_examples=20 if operation.label == "POST /jobs" else 6,
            deadline=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy())
        def answers(case):
            answer = case.call()
            statuses.add(answer.status_code)  # noqa: B023 - it is called in this turn of the loop
            case.validate_response(answer, checks=CHECKS)

        answers()
    assert not any(status >= 500 for statuses in seen.values() for status in statuses)
    good = [label for label, statuses in seen.items() if any(status < 300 for status in statuses)]
    assert len(good) >= 8, seen  # it is the application that answered
