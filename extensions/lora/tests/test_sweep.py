"""Strips, planes and axes change weights, and nothing else."""

import pytest

from extensions.lora.axes import axes
from extensions.lora.rows import Row
from extensions.lora.sweep import plane, rows_in, strip, with_rows, with_weight
from modules.errors import UserError
from modules.schema import GenerationRequest

ASKED = GenerationRequest(
    prompt="a cat <lora:ink:0.5> <lora:wash:te=0.2:unet=0.4>",
    seed=7,
    batch_size=2,
    extras={"x": {"enabled": True}},
)


def test_a_strip_keeps_the_seed_and_all_else() -> None:
    cells = strip(ASKED, "ink", (0, 0.5, 1))
    assert [cell.labels for cell in cells] == [("ink 0",), ("ink 0.5",), ("ink 1",)]
    assert [rows_in(cell.request)[0].weight for cell in cells] == [0, 0.5, 1]
    for cell in cells:
        assert (cell.request.seed, cell.request.pictures) == (7, 1)
        assert cell.request.extras["x"] == {"enabled": True}
        assert rows_in(cell.request)[1] == Row(name="wash", weight=0.4, te=0.2)
    assert cells[0].request.prompt == "a cat <lora:ink:0> <lora:wash:te=0.2:unet=0.4>"


def test_a_plane_has_a_row_per_weight_of_the_second() -> None:
    found = plane(ASKED, ("ink", "wash"), ((0, 1), (0, 0.8, 1)))
    assert [len(row) for row in found] == [2, 2, 2]
    assert found[1][1].labels == ("ink 1", "wash 0.8")
    assert [row.weight for row in rows_in(found[1][1].request)] == [1, 0.8]
    assert rows_in(found[1][1].request)[1].te == pytest.approx(0.4)  # its ratio is kept


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda: strip(ASKED, "ink", ()), "1 to 100 pictures"),
        (lambda: strip(ASKED, "ink", [0.1] * 101), "1 to 100 pictures"),
        (lambda: strip(ASKED.replace(seed=-1), "ink"), "fixed seed"),
        (lambda: strip(ASKED, "ink", (50,)), "between -10 and 10"),
        (lambda: plane(ASKED, ("ink", "INK")), "one twice"),
    ],
)
def test_what_makes_no_sweep(call: object, why: str) -> None:
    with pytest.raises(UserError, match=why):
        call()  # type: ignore[operator]


def test_rows_stand_in_prompt_and_extras_alike() -> None:
    asked = with_rows(ASKED, [Row(name="glow", curve=((0, 1),))])
    assert asked.prompt == "a cat <lora:glow:1:curve=1@0>"
    assert (
        rows_in(asked) == rows_in(asked.replace(extras={})) == (Row(name="glow", curve=((0, 1),)),)
    )
    assert "lora" not in with_rows(asked, []).extras
    assert rows_in(asked.replace(prompt="a cat")) == (Row(name="glow", curve=((0, 1),)),)


def test_axes() -> None:
    by_name = {axis.name: axis for axis in axes()}
    assert all(name.startswith("lora.") for name in by_name)
    assert rows_in(by_name["lora.weight1"].apply(ASKED, 0.9))[0].weight == 0.9
    assert rows_in(by_name["lora.named"].apply(ASKED, "wash:1.5"))[1].weight == 1.5
    assert rows_in(by_name["lora.named"].apply(ASKED, "new"))[2] == Row(name="new")
    assert [row.weight for row in rows_in(by_name["lora.strength"].apply(ASKED, 2))] == [1, 0.8]
    with pytest.raises(UserError, match="no LoRA in row 4"):
        by_name["lora.weight4"].apply(ASKED, 1)
    with pytest.raises(UserError, match=r"ink:0\.8"):
        by_name["lora.named"].apply(ASKED, "ink:much")


def test_a_weight_of_zero_can_be_left_again() -> None:
    silent = with_weight(ASKED, "wash", 0)
    assert rows_in(with_weight(silent, "wash", 0.4))[1].weight == 0.4
