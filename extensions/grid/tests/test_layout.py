"""What becomes of the options: tables, matrices, lists."""

import pytest

from extensions.grid.layout import laid_out
from extensions.grid.options import GridOptions
from modules.errors import UserError
from modules.plugins import Axis, GenerationRequest
from modules.plugins.fields import core_axes

REQUEST = GenerationRequest(prompt="a red apple", negative_prompt="blur", seed=5, steps=20)
WORD = Axis(
    "demo.word",
    "Word",
    "text",
    lambda request, word: request.replace(prompt=f"{request.prompt} {word}"),
)
AXES = (*core_axes(), WORD)


def grid(request=REQUEST, most=256, **options):
    return laid_out(request, GridOptions(enabled=True, **options), AXES, most)


def asked(layout, *fields):
    return [tuple(getattr(cell.request, field) for field in fields) for cell in layout.cells]


def refused(**more):
    with pytest.raises(UserError) as caught:
        grid(**more)
    assert caught.value.message("zh") != caught.value.message("en")
    return caught.value.message("en")


def test_three_axes_x_the_quickest():
    found = grid(
        x="steps", x_values="4, 8", y="CFG scale", y_values="2-3", z="种子", z_values="7, 9"
    )
    assert asked(found, "steps", "cfg_scale", "seed") == [
        (4, 2, 7), (8, 2, 7), (4, 3, 7), (8, 3, 7), (4, 2, 9), (8, 2, 9), (4, 3, 9), (8, 3, 9),
    ]  # fmt: skip
    assert [cell.at for cell in found.cells[:3]] == [(0, 0, 0), (1, 0, 0), (0, 1, 0)]
    assert (found.x.title, found.x.title_zh, found.x.labels) == ("Steps", "步数", ("4", "8"))
    assert found.sheets == 2


def test_groups_and_size_and_extensions_are_axes():
    found = grid(
        x="hires.scale",
        x_values="1.5, 2",
        y="size",
        y_values="64x96",
        z="demo.word",
        z_values="ripe",
    )
    request = found.cells[1].request
    assert request.hires is not None and request.hires.scale == 2
    assert (request.width, request.height, request.prompt) == (64, 96, "a red apple ripe")


def test_what_needs_a_name_comes_after_it():
    found = grid(x="refiner.switch_at", x_values="0.5", y="refiner.model", y_values="fine")
    (cell,) = found.cells
    assert cell.request.refiner is not None
    assert (cell.request.refiner.model, cell.request.refiner.switch_at) == ("fine", 0.5)


def test_search_and_replace_looks_in_both_prompts():
    found = grid(x="prompt_sr", x_values="red, green", y="prompt", y_values='"a red pear"')
    assert asked(found, "prompt") == [("a red pear",), ("a green pear",)]
    found = grid(x="Prompt S/R", x_values="blur, noise")
    assert asked(found, "negative_prompt") == [("blur",), ("noise",)]
    assert "X: Prompt S/R" in refused(x="prompt_sr", x_values="blue, red")


def test_every_order_of_words():
    found = grid(x="prompt_order", x_values="red, apple")
    assert asked(found, "prompt") == [("a red apple",), ("a apple red",)]
    assert "'pear'" in refused(x="prompt_order", x_values="red, pear")
    assert "at most 100" in refused(most=100, x="prompt_order", x_values="a, b, c, d, e, f")


@pytest.mark.parametrize(
    "options, words",
    [
        ({}, "needs an axis"),
        ({"x": "stepps", "x_values": "4"}, "no axis 'stepps'"),
        ({"x": "grid.x", "x_values": "4"}, "no axis 'grid.x'"),
        ({"x": "", "x_values": "4"}, "X has values"),
        ({"y": "cfg_scale", "y_values": "7, 900"}, "Y: CFG scale: '900' does not fit. Give something from 0 to 100."),
        ({"x": "clip_skip", "x_values": "0"}, "from 1 to 12"),
        ({"x": "steps", "x_values": "0"}, "1 or more"),
        ({"x": "tiling", "x_values": "off, z"}, "one of: off, both, x, y"),
        ({"x": "size", "x_values": "64by64"}, "X: Size, '64by64'"),
        ({"x": "img2img.denoising_strength", "x_values": "0.5"}, "X: Denoising strength, '0.5'"),
        ({"x": "refiner.switch_at", "x_values": "0.5"}, "none is chosen"),
        (
            {"x": "steps", "x_values": "1-10", "y": "cfg_scale", "y_values": "1-10", "z": "seed", "z_values": "1-10"},
            "10 × 10 × 10 is 1000 cells; one grid has at most 256",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_names_the_axis_and_the_value(options, words):
    assert words in refused(**options)


def test_a_matrix_has_every_choice_once():
    request = REQUEST.replace(prompt="a house | at night| in snow |with a dog")
    found = grid(request, mode="matrix")
    assert asked(found, "prompt") == [
        ("a house",), ("a house, in snow",), ("a house, with a dog",), ("a house, in snow, with a dog",),
        ("a house, at night",), ("a house, at night, in snow",), ("a house, at night, with a dog",),
        ("a house, at night, in snow, with a dog",),
    ]  # fmt: skip
    assert found.y.labels == ("–", "at night")
    assert found.x.labels == ("–", "in snow", "with a dog", "in snow, with a dog")
    negative = REQUEST.replace(negative_prompt="blur|text")
    found = grid(negative, mode="matrix", matrix_in="negative_prompt")
    assert asked(found, "prompt", "negative_prompt") == [
        ("a red apple", "blur"), ("a red apple", "blur, text"),
    ]  # fmt: skip


def test_a_matrix_without_parts_or_with_too_many():
    assert "needs parts" in refused(mode="matrix")
    many = REQUEST.replace(prompt="|".join("abcdefghij"))
    assert "make 512 pictures" in refused(request=many, mode="matrix")


LINES = """# a note
a blue fish

--steps 6 --cfg_scale 3.5 --prompt "a cat, sitting" --negative_prompt 'text, blur'
a dog --seed 9 --sampler_name "Euler a" --tiling true --do_not_save_grid true
--prompt "twice" --n_iter 2 --seed=40 --subseed 3 --subseed_strength 0.2
"""


def test_a_list_of_prompts():
    found = grid(mode="prompts", prompts=LINES)
    assert asked(found, "prompt", "steps", "seed") == [
        ("a blue fish", 20, 5), ("a cat, sitting", 6, 5), ("a dog", 20, 9), ("twice", 20, 40), ("twice", 20, 40),
    ]  # fmt: skip
    cat, dog = found.cells[1].request, found.cells[2].request
    assert (cat.cfg_scale, cat.negative_prompt) == (3.5, "text, blur")
    assert (dog.sampler, dog.tiling) == ("Euler a", "both")
    first, second = (cell.request.variation for cell in found.cells[3:])
    assert first is not None and second is not None
    assert (first.seed, second.seed, first.strength) == (3, 4, 0.2)
    assert found.flows and found.x.labels[1] == "a cat, sitting"


@pytest.mark.parametrize(
    "lines, words",
    [
        ("", "no prompt in the list"),
        ("ok\n--stepps 4", "Line 2: --stepps is not known"),
        ("--steps", "Line 1: --steps stands without a value"),
        ("--steps many --prompt a", "Line 1: --steps 'many' is no number"),
        ('--prompt "open', "Line 1"),
        ("--steps -4 --prompt a", "Line 1: steps cannot be '-4'"),
        ("--tiling maybe --prompt a", "neither true nor false"),
        ("--prompt a --n_iter 0", "not a number of pictures"),
        ("--prompt a --n_iter 100 --batch_size 100", "at most 256"),
        ("--prompt a --cfg_scale nan", "cfg_scale cannot be"),
    ],
)
def test_what_is_wrong_names_the_line(lines, words):
    assert words in refused(mode="prompts", prompts=lines)


def test_seeds_that_count_on():
    found = grid(x="steps", x_values="4, 8", seeds="next")
    assert asked(found, "seed") == [(5,), (6,)]
    found = grid(mode="prompts", prompts="a\nb --seed -1", seeds="next")
    assert asked(found, "seed") == [(5,), (-1,)], "what is to be drawn stays so"


def test_programs_may_send_lists_and_numbers():
    options = GridOptions(x_values=[4, 8], y_values=7, z_values=["a, b", 'say "c"'])
    assert (options.x_values, options.y_values) == ("4, 8", "7")
    found = grid(x="prompt", x_values=["a, b", 'say "c"'])
    assert asked(found, "prompt") == [("a, b",), ('say "c"',)]


def test_every_axis_takes_a_value_of_its_kind():
    from modules.plugins.fields import with_size

    request = REQUEST.replace(
        refiner={"model": "fine"},
        img2img={"image": "0" * 64, "inpaint": {"mask": "0" * 64}},
        width=64,
        height=64,
    )
    values = {"int": "16", "float": "0.5", "bool": "true", "text": "word"}
    for axis in AXES:
        value = axis.choices[-1] if axis.kind == "choice" else values[axis.kind]
        value = {"hires.scale": "2", "size": "32x48"}.get(axis.name, value)
        if axis.least == 1 and axis.kind == "float":
            value = "1.5"
        if axis.most is not None and axis.kind == "int":
            value = str(min(16, int(axis.most)))
        found = grid(request, x=axis.name, x_values=str(value))
        assert found.cells[0].request != request, axis.name
    assert with_size(REQUEST, "32 × 48").height == 48


def test_one_field_on_two_axes_is_refused_but_what_adds_up_is_not():
    assert "X and Z both vary Steps" in refused(x="steps", x_values="4, 8", z="Steps", z_values="2")
    found = grid(x="demo.word", x_values="ripe, big", y="demo.word", y_values="cut")
    assert asked(found, "prompt") == [("a red apple ripe cut",), ("a red apple big cut",)]
    found = grid(x="prompt_sr", x_values="red, blue", y="prompt_sr", y_values="apple, pear")
    assert asked(found, "prompt")[-1] == ("a blue pear",)


@pytest.mark.parametrize(
    ("options", "title"),
    [
        ({"x": "steps", "x_values": "4, x"}, "X（步数）"),
        ({"y": "steps", "y_values": "1-9999"}, "Y（步数）"),
        ({"x": "prompt_sr", "x_values": "pear, plum"}, "X（提示词搜索替换）"),
        ({"x": "prompt_order", "x_values": "pear, plum"}, "X（提示词顺序）"),
        ({"z": "prompt_order", "z_values": ""}, "Z（提示词顺序）"),
        ({"x": "size", "x_values": "4"}, "X（尺寸）"),
        ({"x": "demo.word", "x_values": ""}, "X（Word）"),
    ],
)
def test_an_axis_is_called_in_the_readers_language(options, title):
    with pytest.raises(UserError) as caught:
        grid(**options)
    said = caught.value.message("zh")
    assert said.startswith(title), said
    for english in ("Steps", "Prompt S/R", "Prompt order", "Size"):
        assert english not in said
        assert title not in caught.value.message("en")
