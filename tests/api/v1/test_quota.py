"""A guest who has had his share is told so as `/api/v2` tells him, and nothing of what he asked for is queued."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from modules.schema.guests import GuestLimits
from modules.services.access import Identity, Role, put_identity
from tests.api.v1.conftest import Here, b64, build, picture, shut

SMALL = {"prompt": "a fig", "steps": 1, "width": 64, "height": 64}


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    limits = GuestLimits(pictures_per_hour=3)
    made = build(tmp_path_factory.mktemp("few"), ("upscaler",), guests=limits)
    yield made
    shut(made)


def as_guest(here: Here, visitor: str) -> TestClient:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        put_identity(scope, Identity(Role.GUEST))
        await here.app(scope, receive, send)

    made = TestClient(
        app,
        base_url="http://192.168.1.5:7860",
        cookies={"noisette_visitor": visitor * 32},
        client=("192.168.1.9", 5000),
    )
    here.clients.append(made)
    return made


@pytest.mark.parametrize(
    ("number", "path", "more"),
    [
        ("1", "txt2img", {"batch_size": 4}),
        ("2", "img2img", {"n_iter": 4, "init_images": [b64(picture())]}),
        ("3", "img2img", {"batch_size": 4, "init_images": [b64(picture())] * 4}),
        (
            "4",
            "extra-batch-images",
            {
                "upscaler_1": "Lanczos",
                "imageList": [{"data": b64(picture()), "name": str(n)} for n in range(4)],
            },
        ),
    ],
)
def test_a_refusal_for_the_share_is_429(few: Here, number: str, path: str, more: dict[str, Any]):
    guest = as_guest(few, number)
    body = {**SMALL, **more} if path != "extra-batch-images" else more
    answer = guest.post(f"/sdapi/v1/{path}", json=body)
    assert answer.status_code == 429, answer.text
    told = answer.json()
    assert told["error"] == "error.quota.pictures_per_hour"
    assert told["detail"] == told["messages"]["en"] and "3" in told["messages"]["zh"]
    waiting = [job.state for job in few.studio.jobs(f"guest:{number * 32}")]
    assert "queued" not in waiting and "done" not in waiting
    # His share is whole.
    assert guest.post("/sdapi/v1/txt2img", json={**SMALL, "batch_size": 3}).status_code == 200
    assert guest.post("/sdapi/v1/txt2img", json=SMALL).status_code == 429
