"""Grids as data: what is a layout, in what order its cells are made, what they are called."""

import pytest
from pydantic import ValidationError

from modules.schema import Cell, GenerationRequest, Layout, LayoutAxis


def table(*rows: tuple[dict[str, object], ...]) -> Layout:
    return Layout(
        x=LayoutAxis(title="Model", title_zh="模型", labels=tuple("abcd"[: len(rows[0])])),
        y=LayoutAxis(title="Steps", labels=tuple(str(number) for number in range(len(rows)))),
        cells=tuple(
            Cell(request=GenerationRequest(**fields), at=(x, y, 0))
            for y, row in enumerate(rows)
            for x, fields in enumerate(row)
        ),
    )


def test_models_change_least_often_whatever_the_table_says():
    found = table(
        ({"model": "a", "steps": 1}, {"model": "b", "steps": 1}),
        ({"model": "a", "steps": 2}, {"model": "b", "steps": 2}),
    )
    assert found.order() == (0, 2, 1, 3)


def test_after_models_come_vaes_extensions_and_prompts():
    dear, cheap = {"vae": "soft"}, {"prompt": "a cat"}
    found = table(({}, cheap, dear, {**dear, **cheap}), (dear, {**dear, **cheap}, {}, cheap))
    assert found.order() == (0, 6, 1, 7, 2, 4, 3, 5)
    lora = {"extras": {"lora": {"rows": []}}}
    found = table(
        ({"prompt": "x"}, {"prompt": "x", **lora}), ({"prompt": "y"}, {"prompt": "y", **lora})
    )
    assert found.order() == (0, 2, 1, 3)


def test_a_table_without_costs_runs_as_it_is_read():
    assert table(({"seed": 1}, {"seed": 2}), ({"seed": 3}, {"seed": 4})).order() == (0, 1, 2, 3)


def test_a_cell_says_what_is_different_in_it():
    found = table(({}, {}), ({}, {}))
    assert found.label(found.cells[1]) == "Model b, Steps 0"
    assert found.label(found.cells[2], "zh") == "模型 a, Steps 1"
    assert (found.sheets, found.pictures) == (1, 5)


@pytest.mark.parametrize(
    "cells, message",
    [
        ([((2, 0, 0), {})], "no place"),
        ([((0, 0, 0), {"batch_size": 2})], "one picture"),
        ([((0, 0, 0), {}), ((0, 0, 0), {})], "one place"),
        ([], "at least 1"),
    ],
)
def test_what_is_no_layout(cells, message):
    with pytest.raises(ValidationError, match=message):
        Layout(
            x=LayoutAxis(labels=("a", "b")),
            cells=tuple(Cell(request=GenerationRequest(**fields), at=at) for at, fields in cells),
        )


def test_it_comes_back_from_its_json():
    found = table(({"model": "a", "seed": 7, "steps": 3}, {"prompt": "“,"}))
    assert Layout.model_validate_json(found.model_dump_json(exclude_defaults=True)) == found
