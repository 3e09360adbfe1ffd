"""The examples of both documents: every operation has them, and they are what is really taken and answered."""

import pytest
from starlette.testclient import TestClient

from modules.api.v1.app import INTERNAL, PREFIX
from modules.api.v1.examples import ANSWERS, BODIES, REFUSED

OFF = {"/server-stop", "/server-kill"}
"""Refused without a setting, which is not set here."""


def keys(value):
    """Of an answer, or of the first row of a list."""
    row = value[0] if isinstance(value, list) and value else value
    return sorted(row) if isinstance(row, dict) else row


@pytest.fixture
def client(here):
    return TestClient(here.app, base_url="http://127.0.0.1:7860", client=("127.0.0.1", 5000))


def test_every_operation_has_examples(client: TestClient):
    used = set()
    for prefix in (PREFIX, INTERNAL):
        document = client.get(f"{prefix}/openapi.json").json()
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if "requestBody" in operation:
                    assert operation["requestBody"]["content"]["application/json"]["example"]
                if path in REFUSED or path in OFF:
                    assert not [status for status in operation["responses"] if status < "300"]
                    continue
                told = operation["responses"]["200"]["content"]["application/json"]
                assert told["example"] == ANSWERS[method, path], path
                used.add((method, path))
    assert used == {row for row in ANSWERS if row[1] not in OFF}, "an example of what is not there"


OPEN_KEYS = {"/options", "/cmd-flags", "/embeddings", "/scripts", "/profile-startup"}
"""Answers whose keys are names of what is installed, or too many to show."""


@pytest.mark.parametrize(
    "path", sorted(path for method, path in ANSWERS if method == "get" and path not in OPEN_KEYS)
)
def test_answers_look_like_their_example(client: TestClient, path: str):
    answers = [client.get(prefix + path) for prefix in (PREFIX, INTERNAL)]
    answer = next(each for each in answers if each.status_code == 200).json()
    assert isinstance(answer, type(ANSWERS["get", path]))
    if answer:  # nothing may be installed of its kind
        assert keys(answer) == keys(ANSWERS["get", path])


@pytest.mark.parametrize(
    "path", sorted(path for path in BODIES if path.startswith("/t") or "x" in path or "png" in path)
)
def test_what_is_sent_is_taken(client: TestClient, path: str):
    answer = client.post(PREFIX + path, json=BODIES[path])
    if path in REFUSED:
        assert answer.status_code == 404
        assert answer.json()["detail"]
    elif path.startswith("/extra"):  # without the extension that enlarges, it is said
        assert answer.status_code in (200, 422), answer.text
    else:
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) == set(ANSWERS["post", path])
