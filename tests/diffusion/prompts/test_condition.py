"""Prompts to what the denoiser is told at each step."""

import subprocess
import sys

import pytest
import torch

from modules.diffusion.conditioning import Encoded
from modules.diffusion.families import sd1
from modules.diffusion.parts import Embedding
from modules.diffusion.prompts.condition import condition, first_pass
from modules.diffusion.prompts.schedule import Pass
from modules.schema import Hires


class Letters:
    """Stands for a family: each text's vectors are its letters."""

    def __init__(self):
        self.seen = []

    def __call__(self, texts):
        self.seen.append(list(texts))
        return [Encoded(torch.tensor([[ord(sign) for sign in text]])) for text in texts]


def told(conditioning, step):
    positive, negative = conditioning.at(step)

    def text(encoded):
        return "".join(chr(int(number)) for number in encoded.tokens[0])

    parts = [(text(one.encoded), one.weight) for one in positive]
    return parts, None if negative is None else text(negative)


def test_the_same_at_every_step_is_said_once():
    letters = Letters()
    found = condition("a cat", "bad", Pass(20), letters)
    assert told(found, 0) == told(found, 19) == ([("a cat", 1)], "bad")
    assert (len(found.positive), len(found.negative)) == (1, 1)


def test_each_step_has_its_texts_and_each_text_is_encoded_once():
    letters = Letters()
    found = condition("[a:b:2]:0.5 AND [c|d]", "[x:y:3]", Pass(4), letters)
    assert [told(found, step) for step in range(5)] == [
        ([("a", 0.5), ("c", 1)], "x"),
        ([("a", 0.5), ("d", 1)], "x"),
        ([("b", 0.5), ("c", 1)], "x"),
        ([("b", 0.5), ("d", 1)], "y"),
        ([("b", 0.5), ("d", 1)], "y"),
    ]
    assert letters.seen == [["a", "c", "d", "b"], ["x", "y"]]
    (first, _), (second, _) = found.at(0), found.at(1)
    assert first[0] is second[0]
    assert found.at(0)[1] is found.at(2)[1]


def test_without_guidance_the_negative_prompt_is_not_read():
    letters = Letters()
    assert told(condition("a", None, Pass(4), letters), 0) == ([("a", 1)], None)
    assert letters.seen == [["a"]]


def test_a_family_may_read_negative_prompts_in_another_way():
    letters, other = Letters(), Letters()
    condition("a", "", Pass(4), letters, other)
    assert (letters.seen, other.seen) == ([["a"]], [[""]])


def test_a_request_s_pass(request_):
    assert first_pass(request_) == Pass(3)
    assert first_pass(request_.replace(hires=Hires())) == Pass(3, hires_follows=True)
    with pytest.raises(ValueError, match="not resolved"):
        first_pass(request_.replace(steps=None))


@pytest.fixture
def calls(parts, monkeypatch):
    """How often the text encoder runs."""
    seen = []
    forward = parts.text_encoder.forward

    def counted(*given, **options):
        seen.append(options["input_ids"].shape)
        return forward(*given, **options)

    monkeypatch.setattr(parts.text_encoder, "forward", counted)
    parts.encoded.clear()
    yield seen
    parts.encoded.clear()


def test_a_second_job_runs_the_text_encoder_for_what_is_new_only(parts, request_, calls):
    with torch.inference_mode():
        first = sd1.encode(parts, request_, text_key=())
        assert len(calls) == 2
        again = sd1.encode(parts, request_.replace(prompt="a dog", seed=1), text_key=())
        assert len(calls) == 3
    assert again.at(0)[1] is first.at(0)[1]


@pytest.mark.parametrize(
    "change",
    [{"clip_skip": 2}, {"emphasis": "none"}, {"embeddings": True}, {"text_key": ("lora",)}],
)
def test_what_changes_the_numbers_is_encoded_anew(parts, request_, calls, monkeypatch, change):
    with torch.inference_mode():
        sd1.encode(parts, request_, text_key=())
        key = change.pop("text_key", ())
        if change.pop("embeddings", False):
            dog = Embedding("cat", (torch.zeros(1, 32),))
            monkeypatch.setattr(parts, "embeddings", {"cat": dog})
        sd1.encode(parts, request_.replace(**change), text_key=key)
    assert len(calls) == 4


def test_what_nobody_can_name_is_not_kept(parts, request_, calls):
    with torch.inference_mode():
        for _ in range(2):
            sd1.encode(parts, request_)
    assert len(calls) == 4
    assert len(parts.encoded) == 0


def test_kept_texts_give_the_same_numbers_as_new_ones(parts, request_):
    with torch.inference_mode():
        parts.encoded.clear()
        sd1.encode(parts, request_.replace(prompt="something else"), text_key=())
        kept = sd1.encode(parts, request_, text_key=())
        new = sd1.encode(parts, request_)
        parts.encoded.clear()
    assert torch.equal(kept.at(0)[1].tokens, new.at(0)[1].tokens)
    assert torch.equal(kept.at(0)[0][0].encoded.tokens, new.at(0)[0][0].encoded.tokens)


def test_what_the_page_needs_comes_without_torch():
    names = ("tokens", "styles", "networks", "plan", "cache", "embeddings")
    code = (
        f"import sys, {', '.join(f'modules.diffusion.prompts.{name}' for name in names)}; "
        "sys.exit(bool({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
