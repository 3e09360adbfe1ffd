"""The page's other functions that take a request: no extension sees a picture that is not the guest's."""

import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from modules.plugins.action import Action, Planned
from modules.schema import GenerationRequest
from modules.services.access import Identity, Role, put_identity
from modules.ui import plans, written
from tests.ui.fake_studio import FakeStudio


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[FakeStudio]:
    studio = FakeStudio(tmp_path, seconds_per_step=0)
    yield studio
    studio.close()


def asker(visitor: str, role: Role) -> Any:
    scope: dict[str, Any] = {}
    put_identity(scope, Identity(role))
    return SimpleNamespace(
        cookies={"noisette_visitor": visitor * 32},
        headers={"host": "noisette.example"},
        client=SimpleNamespace(host="192.168.1.7"),
        scope=scope,
    )


ANNA, BERT, OWNER = asker("a", Role.GUEST), asker("b", Role.GUEST), asker("c", Role.OWNER)


def png() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize("named", ["field", "option", "of a cell"])
def test_buttons_that_plan_and_show(studio: FakeStudio, named: str):
    hers = studio.inputs.of(f"guest:{'a' * 32}").add(png())
    seen: list[GenerationRequest] = []

    def plan(request: GenerationRequest) -> tuple[Planned, ...]:
        seen.append(request)
        if named == "of a cell":
            request = request.replace(extras={"e": {"image": hers}})
        return (Planned(request),)

    values: dict[str, Any] = {"prompt": "x", "steps": 1, "width": 64, "height": 64}
    if named == "field":
        values |= {"img2img__image": hers, "img2img__mode": "img2img"}
    elif named == "option":
        values |= {"e__enabled": True, "e__image": hers}
    button: Any = gr.Button
    planned = plans.click(studio, plans.PlanButton("e", Action("go", "Go"), button, plan))
    shown = written.click(studio, written.WrittenButton("e", button))
    for who in (ANNA, OWNER):
        assert planned(who, **values)["kind"] == "submitted"
        assert shown(who, **values)["kind"] == "written"
    seen.clear()
    told = [planned(BERT, **values)]
    if named != "of a cell":
        assert seen == []
        told.append(shown(BERT, **values))
    for each in told:
        assert each["kind"] == "error" and "not here any more" in each["text"]["en"]
    assert not studio.jobs(f"guest:{'b' * 32}")
