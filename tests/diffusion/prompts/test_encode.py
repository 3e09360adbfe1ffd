"""Running the text encoder: any length, clip skip, emphasis."""

import pytest
import torch

from modules.diffusion.prompts.encode import emphasise, encode
from modules.errors import LimitError


def test_a_plain_prompt_is_what_the_encoder_gives(parts):
    (found,) = encode(parts, ["a red cat"])
    ids = parts.tokenizer(
        "a red cat", padding="max_length", max_length=77, return_tensors="pt"
    ).input_ids
    with torch.inference_mode():
        expected = parts.text_encoder(ids).last_hidden_state
    assert found.shape == (1, 77, 32)
    assert torch.equal(found, expected)


def test_the_shorter_of_two_is_filled_up_with_empty_chunks(parts):
    long, short = encode(parts, ["x" * 200, "a cat"])
    (empty,) = encode(parts, [""])
    assert long.shape == short.shape == (1, 3 * 77, 32)
    assert torch.allclose(short[:, 77:154], empty, atol=1e-5)
    assert torch.allclose(short[:, 154:], empty, atol=1e-5)


def test_clip_skip_takes_an_earlier_layer_and_norms_it(parts):
    (found,) = encode(parts, ["a red cat"], clip_skip=2)
    ids = parts.tokenizer(
        "a red cat", padding="max_length", max_length=77, return_tensors="pt"
    ).input_ids
    with torch.inference_mode():
        layers = parts.text_encoder(ids, output_hidden_states=True).hidden_states
        expected = parts.text_encoder.final_layer_norm(layers[-2])
    assert torch.equal(found, expected)
    assert not torch.allclose(found, encode(parts, ["a red cat"])[0], atol=1e-3)


def test_skipping_more_layers_than_there_are_is_refused_with_their_number(parts):
    encode(parts, ["a"], clip_skip=3)
    with pytest.raises(LimitError, match=r"Clip skip 4 .* 3 layers"):
        encode(parts, ["a"], clip_skip=4)


def test_emphasis_multiplies_and_keeps_the_mean():
    hidden = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1)) + 1
    weights = torch.tensor([[1, 1, 2, 1, 1], [1, 1, 1, 1, 1]])
    found = emphasise(hidden, weights.float())
    assert torch.allclose(found.mean((1, 2)), hidden.mean((1, 2)), atol=1e-6)
    ratio = found[0] / hidden[0]
    assert torch.allclose(ratio[2] / ratio[1], torch.tensor(2.0))
    assert torch.allclose(found[1], hidden[1])


def test_weights_of_one_leave_every_bit():
    hidden = torch.randn(1, 5, 3)
    assert emphasise(hidden, torch.ones(1, 5)) is hidden


def test_emphasis_on_nothing_gives_numbers():
    found = emphasise(torch.ones(1, 4, 2), torch.zeros(1, 4))
    assert torch.isfinite(found).all()


def test_a_prompt_of_32_kilobytes_is_encoded(parts):
    (found,) = encode(parts, ["word, " * 5000])
    assert found.shape[1] % 77 == 0
    assert torch.isfinite(found).all()
