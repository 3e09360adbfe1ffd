"""Whatever extension was at work on a picture: its text, given back to the program, makes the same picture again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.imaging import infotext
from modules.imaging.infotext import PictureFacts
from modules.plugins.manager import Places, Plugins
from modules.plugins.parameters import flat
from modules.schema import GenerationRequest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugins]:
    data = tmp_path_factory.mktemp("data")
    loaded = Plugins.load(ROOT / "extensions", places=Places(ROOT / "models", data))
    assert all(report.reason is None for report in loaded.reports)
    yield loaded
    loaded.close()


def asked(
    plugins: Plugins, extras: dict[str, dict[str, object]], **fields: object
) -> GenerationRequest:
    on = {name: {"enabled": True, **options} for name, options in extras.items()}
    plain = {"prompt": "a cat", "seed": 7, "steps": 4, "width": 64, "height": 64}
    return plugins.check(GenerationRequest.model_validate({**plain, **fields, "extras": on}))


def again(plugins: Plugins, request: GenerationRequest) -> GenerationRequest:
    """From the text of the first picture of a request."""
    text = infotext.write(request, index=0, facts=PictureFacts(extras=flat(request.extras)))
    found, unused = infotext.to_request(text, plugins.read_parameters)
    assert unused == ()
    return plugins.check(found)


@pytest.mark.parametrize(
    "extras",
    [
        {"frame": {}},
        {"frame": {"width": 9, "colour": "#f4e9d8", "text": '"Ink", {seed}: {prompt}\n{model}'}},
        {"freeu": {"b1": 1.05, "b2": 1.15, "s1": 0.95, "s2": 0.123456789}},
        {"pag": {"scale": 2.5, "layers": "deep_up", "start": 0.1, "end": 0.9}},
        {"captions": {}},
        {"freeu": {}, "pag": {}, "frame": {"text": "x"}, "upscaler": {"scale": 1.5, "crop": False}},
        {"grid": {"x": "freeu.b1", "x_values": "1, 1.2", "y": "steps", "y_values": "2-4"}, "freeu": {}},
        {"wildcards": {"each": False}},
    ],
)  # fmt: skip
def test_options_come_back(plugins: Plugins, extras: dict[str, dict[str, object]]) -> None:
    request = asked(plugins, extras)
    assert again(plugins, request) == request


@pytest.mark.parametrize(
    ("extras", "prompt"),
    [
        ({"styles": {"names": "Oil painting:0.8, Anime"}}, "a cat, wet"),
        ({"wildcards": {}}, "a {red|green|blue} {2$$big|wet|old} cat"),
        ({"wildcards": {}, "styles": {"names": "Anime"}, "freeu": {}}, "a {red|green|blue} cat"),
    ],
)
def test_words_that_were_written_come_back_as_they_are(
    plugins: Plugins, extras: dict[str, dict[str, object]], prompt: str
) -> None:
    """The text has the words that came out, so those who wrote them have nothing left to do."""
    request = plugins.rewritten(asked(plugins, extras, prompt=prompt, negative_prompt="dog"), 0)
    assert request.prompt != prompt and not {"styles", "wildcards"} & request.extras.keys()
    found = again(plugins, request)
    assert found == request and plugins.rewritten(found, 0) == found
