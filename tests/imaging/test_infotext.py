"""What is written is read back, and reading takes linear time whatever it is given."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.errors import UserError
from modules.imaging.infotext import Infotext, PictureFacts, read, to_request, write
from modules.schema import GenerationRequest

FACTS = PictureFacts(
    model="pocket", model_hash="0123456789", sampler="Euler a", schedule="Karras", version="N 1"
)
RESOLVED = GenerationRequest(
    prompt="a cat",
    negative_prompt="a dog",
    width=512,
    height=768,
    steps=20,
    cfg_scale=7.0,
    sampler="euler_a",
    seed=41,
    clip_skip=2,
)
# Lines that cannot be taken for another part of the text; the exact JSON beside it holds all others.
plain_lines = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp", "Zs")), min_size=1, max_size=30
).filter(lambda line: not line.startswith("Negative prompt:"))
prompts = st.lists(plain_lines, min_size=1, max_size=4).map("\n".join)


def test_the_text_is_what_the_others_write():
    assert write(RESOLVED, index=1, facts=FACTS) == (
        "a cat\n"
        "Negative prompt: a dog\n"
        "Steps: 20, Sampler: Euler a, Schedule type: Karras, CFG scale: 7, Seed: 42, Size: 512x768, "
        "Model hash: 0123456789, Model: pocket, Clip skip: 2, RNG: CPU, Version: N 1"
    )


@given(prompts, st.one_of(st.just(""), prompts))
def test_prompts_come_back(prompt, negative):
    text = write(RESOLVED.replace(prompt=prompt, negative_prompt=negative), index=0, facts=FACTS)
    info = read(text)
    assert (info.prompt, info.negative_prompt) == (prompt, negative)


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
def test_values_come_back(value):
    text = write(RESOLVED, index=0, facts=PictureFacts(extras={"Odd value": value}))
    assert read(text).parameters["Odd value"] == value


@given(
    st.integers(8, 2048),
    st.integers(1, 150),
    st.floats(0, 100),
    st.integers(0, 2**32 - 1),
    st.integers(1, 12),
)
def test_numbers_come_back(width, steps, cfg, seed, skip):
    asked = RESOLVED.replace(width=width, steps=steps, cfg_scale=cfg, seed=seed, clip_skip=skip)
    request, unused = to_request(write(asked, index=0, facts=FACTS))
    assert unused == ()
    assert request == asked.replace(sampler="Euler a", schedule="Karras", model="pocket")


def test_a_picture_of_another_program():
    text = (
        "masterpiece, <lora:x:0.8>\nNegative prompt: bad hands,\nblurry\n"
        "Steps: 28, Sampler: DPM++ 2M Karras, CFG scale: 5.5, Seed: 99, Size: 640x960, "
        'Lora hashes: "x: 0123456789ab, y: ab", Denoising strength: 0.4, Version: v1.9.4'
    )
    info = read(text)
    assert info.prompt == "masterpiece, <lora:x:0.8>"
    assert info.negative_prompt == "bad hands,\nblurry"
    assert info.parameters["Lora hashes"] == "x: 0123456789ab, y: ab"
    request, unused = to_request(text)
    assert (request.sampler, request.cfg_scale, request.width) == ("DPM++ 2M Karras", 5.5, 640)
    assert unused == ("Lora hashes: x: 0123456789ab, y: ab", "Denoising strength: 0.4")


def test_less_than_three_parameters_are_prompt():
    assert read("a poster\nSteps: 20, Seed: 1") == Infotext("a poster\nSteps: 20, Seed: 1")


def test_a_bad_value_is_reported_and_the_rest_used():
    request, unused = to_request("x\nSteps: many, Seed: 5, CFG scale: 3, Size: 0x0")
    assert (request.seed, request.cfg_scale, request.steps) == (5, 3.0, None)
    assert unused == ("Steps: many", "Size: 0x0")


@pytest.mark.parametrize(
    "piece",
    ["a" * 10, "a,", "aa: ", 'aa: "', 'aa: "\\', ": ,", '"', "\\", "\n", "a-/ ", "aa: b, "],
)
def test_reading_is_linear(piece):
    def seconds(size):
        text = "p\n" + piece * (size // len(piece)) + ": x"
        began = time.thread_time()
        read(text)
        return time.thread_time() - began

    seconds(1000)
    assert seconds(900_000) < 10.0  # quadratic would take minutes


def test_parameters_beyond_all_measure_are_left_out():
    line = "Steps: 20, Seed: 1, " + ", ".join(f"K{number}: 1" for number in range(90_000))
    found = read(f"x\n{line}")
    assert found.prompt == "x" and found.parameters["Seed"] == "1"
    assert len(found.parameters) == 2000


@given(st.text(max_size=300))
def test_reading_never_fails(text):
    to_request(text)
    to_request("x\n" + text)


def test_a_pasted_text_with_half_a_character_is_refused():
    with pytest.raises(UserError, match=r"half a character \(U\+D83D, character 7\)"):
        to_request("a cat \ud83d\nSteps: 20, Seed: 5, CFG scale: 3")
    assert read("a \ud83d").prompt == "a \ud83d"
