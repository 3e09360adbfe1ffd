"""What is wrong with a value is said in both languages, without a word of pydantic's."""

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from modules.errors import UserError
from modules.schema import GenerationRequest
from modules.schema.problems import explain


class Picky(BaseModel):
    """A field that refuses with a reason."""

    model_config = ConfigDict(extra="forbid")

    word: str = "x"

    @field_validator("word")
    @classmethod
    def _refuse(cls, word: str) -> str:
        raise ValueError("no such word")


def problem(model: type[BaseModel] = GenerationRequest, **values: Any):
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    return explain(caught.value)


@pytest.mark.parametrize(
    ("values", "field", "english", "chinese"),
    [
        ({"seed": 1.5}, "seed", "a whole number is needed", "需要整数"),
        ({"steps": "many"}, "steps", "a whole number is needed", "需要整数"),
        ({"cfg_scale": "x"}, "cfg_scale", "a number is needed", "需要数字"),
        ({"cfg_scale": float("nan")}, "cfg_scale", "a finite number is needed", "需要有限的数字"),
        ({"seed": -2}, "seed", "it has to be -1 or more", "不能小于 -1"),
        ({"clip_skip": 99}, "clip_skip", "it has to be 12 or less", "不能大于 12"),
        ({"prompt": 5}, "prompt", "a text is needed", "需要文本"),
        ({"nonsense": 1}, "nonsense", "there is nothing of that name", "没有此名称"),
        (
            {"tiling": "z"},
            "tiling",
            "it has to be one of off, both, x, y",
            "只能是以下之一：off, both, x, y",
        ),
        ({"hires": 5}, "hires", "a group of named values is needed", "需要一组带名称的值"),
        ({"refiner": {}}, "refiner.model", "it is missing", "缺少此项"),
    ],
)
def test_in_both_languages(values: dict[str, Any], field: str, english: str, chinese: str):
    found = problem(**values)
    assert found.field == field
    assert found.why.message("en") == english
    assert found.why.message("zh") == chinese


def test_what_holds_more_than_one_value_is_not_written_out():
    assert problem(refiner={"switch_at": 0.5}).found == "{…}"
    assert problem(prompt=["a" * 64]).found == "[…]"
    assert problem(prompt=5).found == "5"


def test_what_a_validator_says_is_passed_on():
    assert problem(Picky, word="y").why.message("zh") == "no such word"


def test_the_field_and_the_reason_are_in_the_language_of_the_message():
    found = problem(seed=1.5)
    error = UserError("error.field", field=found.field, found=found.found, why=found.why)
    assert error.message("en") == "Seed is 1.5: a whole number is needed. Choose another value."
    assert error.message("zh") == "“种子”的值为 1.5：需要整数。请换一个值。"
    copy = UserError.from_dict(error.to_dict())
    assert copy.message("zh") == error.message("zh")
