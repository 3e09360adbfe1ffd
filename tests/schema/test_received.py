"""What comes from outside, whatever its fields are: a boolean is no number, half a character is no text."""

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from modules.api.postprocess import Asked
from modules.api.v1 import shapes as v1
from modules.api.v2.shapes import Moved
from modules.schema import GenerationRequest
from modules.schema.received import Received, broken_text


def below(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield kind
    for field in kind.model_fields.values():
        for part in parts(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from below(part)


def parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from parts(part)


BODIES = {
    *below(GenerationRequest),
    *below(Asked),
    Moved,
    *(kind for each in v1.Sent.__subclasses__() for kind in (each, *each.__subclasses__())),
}
FIELDS = sorted(
    (
        (body, name, frozenset(parts(field.annotation)))
        for body in BODIES
        for name, field in body.model_fields.items()
    ),
    key=lambda row: (row[0].__name__, row[1]),
)


def wrong(body: type[BaseModel], name: str, value: Any) -> list[str]:
    """What is said about that one field."""
    try:
        body.model_validate({name: value})
    except ValidationError as error:
        return [row["type"] for row in error.errors() if row["loc"] == (name,)]
    return []


def test_every_body_is_looked_at():
    assert {body for body in BODIES if not issubclass(body, Received)} == set()
    assert {v1.Txt2Img, v1.ExtrasBatch, v1.Watched, GenerationRequest, Moved} <= BODIES


@pytest.mark.parametrize("value", [True, False])
def test_a_boolean_is_no_number(value: bool):
    counted = 0
    for body, name, kinds in FIELDS:
        if kinds & {int, float} and bool not in kinds:
            counted += 1
            expected = "float_type" if float in kinds else "int_type"
            assert wrong(body, name, value) == [expected], (body, name)
    assert counted > 90


@pytest.mark.parametrize("value", [0, 1, True, False])
def test_a_switch_takes_both(value: Any):
    for body, name, kinds in FIELDS:
        if bool in kinds:
            assert wrong(body, name, value) == [], (body, name)


def test_half_a_character_is_refused_in_every_text():
    for body, name, kinds in FIELDS:
        if str in kinds and not kinds & {list, dict, tuple}:
            given: Any = ["a \ud83d"] if any("list" in str(kind) for kind in kinds) else "a \ud83d"
            assert wrong(body, name, given) == ["lone_surrogate"], (body, name)
    for extras in (
        {"freeu": {"a": "\udc00"}},
        {"freeu": {"\ud800": 1}},
        {"a": {"b": [["\udfff"]]}},
    ):
        assert wrong(GenerationRequest, "extras", extras) == ["lone_surrogate"]


def test_it_is_said_where_it_is():
    with pytest.raises(ValidationError) as caught:
        GenerationRequest.model_validate({"hires": {"prompt": "a 猫 \ud83d!", "steps": True}})
    rows = [(row["loc"], row["type"]) for row in caught.value.errors()]
    assert rows == [(("hires", "prompt"), "lone_surrogate"), (("hires", "steps"), "int_type")]
    why = broken_text({"a": ["fine", "a 猫 \ud83d!"]})
    assert why is not None and why.values == {"code": "U+D83D", "place": 5}
    assert "U+D83D" in why.message("en") and "U+D83D" in why.message("zh")


def test_whole_characters_and_numbers_as_text_are_taken():
    asked = GenerationRequest.model_validate({"prompt": "🐈 猫 a\x00b", "steps": "20"})
    assert (asked.prompt, asked.steps) == ("🐈 猫 ab", 20)
    assert broken_text("🐈" * 10) is None
    deep: Any = "a"
    for _ in range(100_000):
        deep = [deep]
    assert broken_text(deep) is None


def test_the_class_itself_and_a_group_that_is_made_already():
    with pytest.raises(ValidationError, match="int_type"):
        GenerationRequest(steps=True)
    asked = GenerationRequest(guidance={"rescale": 0.5})
    again = GenerationRequest(guidance=asked.guidance)
    assert again == asked == GenerationRequest.model_validate(asked) == asked.replace()
    assert GenerationRequest.model_validate_json(json.dumps({"steps": 3})).steps == 3
    assert GenerationRequest.model_json_schema()["properties"]["seed"]["type"] == "integer"
