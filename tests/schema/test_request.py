"""The request: frozen, bounded, exact through JSON."""

import inspect
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from modules.errors import LimitError
from modules.schema import GenerationRequest, Limits

LIMITS = Limits()


def too_wide(limits: Limits) -> GenerationRequest:
    """Width is 4096; this installation allows 64 to 2048."""
    return GenerationRequest(width=4096)


def too_low(limits: Limits) -> GenerationRequest:
    """Height is 16; this installation allows 64 to 2048."""
    return GenerationRequest(height=16)


def too_many_steps(limits: Limits) -> GenerationRequest:
    """Steps is 1000000; this installation allows 1 to 150."""
    return GenerationRequest(steps=1_000_000)


def too_many_pictures(limits: Limits) -> GenerationRequest:
    """Batch count is 101; this installation allows 1 to 100."""
    return GenerationRequest(batch_count=101)


def too_many_pixels(limits: Limits) -> GenerationRequest:
    """asks for 67108864 pixels in all; at most 64000000"""
    return GenerationRequest(width=2048, height=2048, batch_size=16)


def too_long(limits: Limits) -> GenerationRequest:
    """Prompt has 32769 characters; at most 32768 are allowed."""
    return GenerationRequest(prompt="a" * 32_769)


@pytest.mark.parametrize(
    "make",
    [too_wide, too_low, too_many_steps, too_many_pictures, too_many_pixels, too_long],
    ids=lambda make: make.__name__,
)
def test_beyond_the_limits_says_what_was_found(
    make: Callable[[Limits], GenerationRequest],
) -> None:
    with pytest.raises(LimitError) as caught:
        make(LIMITS).check(LIMITS)
    assert (inspect.getdoc(make) or "!") in str(caught.value)


@pytest.mark.parametrize(
    "field, value",
    [
        ("width", 0),
        ("steps", 0),
        ("cfg_scale", float("nan")),
        ("cfg_scale", float("inf")),
        ("seed", 2**32),
        ("seed", -2),
        ("batch_size", 0),
        ("prompt", None),
        ("nonsense", 1),
    ],
)
def test_nonsense_never_becomes_a_request(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        GenerationRequest.model_validate({field: value})


def test_an_empty_request_is_allowed() -> None:
    GenerationRequest().check(LIMITS)


def test_a_request_is_frozen() -> None:
    with pytest.raises(ValidationError):
        GenerationRequest().prompt = "x"  # type: ignore[misc]


def test_replace_checks_again() -> None:
    with pytest.raises(ValidationError):
        GenerationRequest().replace(steps=0)


def test_seeds_wrap_at_32_bits() -> None:
    assert GenerationRequest(seed=2**32 - 1).seed_of(1) == 0


@given(st.text(), st.text(), st.integers(-1, 2**32 - 1))
def test_json_round_trip_is_exact(prompt: str, negative: str, seed: int) -> None:
    request = GenerationRequest(prompt=prompt, negative_prompt=negative, seed=seed)
    assert GenerationRequest.model_validate_json(request.model_dump_json()) == request


def test_half_an_emoji_is_an_error_and_no_question_mark() -> None:
    with pytest.raises(ValidationError, match=r"half a character \(U\+D83D"):
        GenerationRequest(prompt="a \ud83d b")
