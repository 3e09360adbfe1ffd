"""What an extension can know to be wrong is refused at once: words in both languages, and no job."""

from collections.abc import Iterator
from typing import Any

import pytest

from modules.errors import UserError
from modules.schema import GenerationRequest
from tests.api.v1.conftest import Here, b64, build, picture, shut


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    made = build(tmp_path_factory.mktemp("refused"), ("controlnet", "grid"))
    folder = made.root / "models" / "controlnet"
    folder.mkdir(parents=True)
    (folder / "edges.pth").write_bytes(b"it is never read")
    yield made
    shut(made)


def units(**fields: Any) -> dict[str, Any]:
    return {"ControlNet": {"args": [{"model": "edges", "image": b64(picture()), **fields}]}}


@pytest.mark.parametrize("path", ["txt2img", "img2img"])
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": "gone"}, "no control model “gone”. There are: edges"),
        ({"image": None}, "no picture"),
        ({"model": "None"}, "no model"),
        ({"module": "nonsense"}, "no preprocessor “nonsense”"),
        ({"module": "inpaint_only"}, "needs a mask"),
        ({"module": "depth_midas"}, "dpt_hybrid-midas-501f0c75.pt"),
    ],
)
def test_a_unit_that_cannot_be_leaves_no_job(
    control: Here, path: str, fields: dict[str, Any], said: str
) -> None:
    body = {"prompt": "a cat", "steps": 1, "alwayson_scripts": units(**fields)}
    if path == "img2img":
        body["init_images"] = [b64(picture())]
    answer = control.client().post(f"/sdapi/v1/{path}", json=body)
    assert answer.status_code == 422, answer.text
    told = answer.json()
    assert said in told["detail"] and said in told["messages"]["en"]
    assert told["messages"]["zh"] != told["messages"]["en"]
    assert sum(control.studio.counts().values()) == 0


def test_a_cell_of_a_grid_is_named(control: Here) -> None:
    image = control.studio.inputs.of("").add(_png())
    extras = {
        "controlnet": {"enabled": True, "units": [{"model": "None", "image": image}]},
        "grid": {"enabled": True, "x": "controlnet.model1", "x_values": "edges, gone"},
    }
    with pytest.raises(UserError) as caught:
        control.studio.submit(GenerationRequest(prompt="a cat", steps=1, extras=extras))
    for language in ("en", "zh"):
        assert "gone" in caught.value.message(language)
    assert "no control model" in caught.value.message("en")
    assert sum(control.studio.counts().values()) == 0


def _png() -> bytes:
    import base64

    return base64.b64decode(b64(picture()))


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("detect", {"controlnet_module": "canny"}, "No image selected"),
        ("detect", {"controlnet_module": "gone"}, "no preprocessor “gone”"),
        ("detect", {"controlnet_module": "canny", "controlnet_input_images": ["x"]}, ""),
        ("render_openpose_json", [], "No pose data detected"),
    ],
)
def test_the_routes_of_controlnet_refuse_in_both_languages(
    control: Here, path: str, body: Any, said: str
) -> None:
    answer = control.client().post(f"/controlnet/{path}", json=body)
    told = answer.json()
    assert answer.status_code == 422 and said in told["detail"]
    assert told["messages"]["en"] == told["detail"] != told["messages"]["zh"]
    assert told["error"] and told["body"] == "" and told["errors"] == told["detail"]
