"""Running text encoders: any length, clip skip, emphasis, embeddings, two encoders together."""

import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from modules.diffusion.parts import Embedding
from modules.diffusion.prompts import encode as module
from modules.diffusion.prompts.encode import TextEncoder, encode
from modules.errors import LimitError

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def second(loaded):
    """Another text encoder for the same tokens, wider and with a projection, as SDXL has."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first = loaded.text_encoder.config
        config = CLIPTextConfig(
            vocab_size=first.vocab_size,
            hidden_size=48,
            intermediate_size=64,
            num_hidden_layers=4,
            num_attention_heads=4,
            projection_dim=24,
            bos_token_id=first.bos_token_id,
            eos_token_id=first.eos_token_id,
            pad_token_id=first.eos_token_id,
        )
        return CLIPTextModelWithProjection(config).eval()


def run(encoders, texts, **options):
    return encode(encoders, texts, device=CPU, dtype=torch.float32, **options)


def one(parts, texts, layer=1, **options):
    reads = TextEncoder(parts.tokenizer, parts.text_encoder, layer=layer)
    return [found.tokens for found in run([reads], texts, **options)]


def ids(parts, text):
    return parts.tokenizer(text, padding="max_length", max_length=77, return_tensors="pt").input_ids


def test_a_plain_prompt_is_what_the_encoder_gives(parts):
    (found,) = one(parts, ["a red cat"])
    assert found.shape == (1, 77, 32)
    assert torch.equal(found, parts.text_encoder(ids(parts, "a red cat")).last_hidden_state)


def test_each_text_has_its_own_length(parts):
    long, short = one(parts, ["x" * 200, "a cat"])
    assert long.shape == (1, 3 * 77, 32)
    assert short.shape == (1, 77, 32)


def test_a_text_is_the_same_to_the_last_bit_whatever_is_encoded_beside_it(parts):
    (alone,) = one(parts, ["a cat"])
    for others in (["x" * 900, "a cat"], ["b", "c", "a cat"]):
        assert torch.equal(one(parts, others)[-1], alone)


def test_clip_skip_takes_an_earlier_layer_and_norms_it(parts):
    (found,) = one(parts, ["a red cat"], layer=2)
    layers = parts.text_encoder(ids(parts, "a red cat"), output_hidden_states=True).hidden_states
    assert torch.equal(found, parts.text_encoder.final_layer_norm(layers[-2]))
    assert not torch.allclose(found, one(parts, ["a red cat"])[0], atol=1e-3)


def test_skipping_more_layers_than_there_are_is_refused_with_their_number(parts):
    one(parts, ["a"], layer=3)
    with pytest.raises(LimitError, match=r"Clip skip 4 .* 3 layers"):
        one(parts, ["a"], layer=4)


def test_a_prompt_of_32_kilobytes_is_encoded(parts):
    (found,) = one(parts, ["word, " * 5000])
    assert found.shape[1] % 77 == 0
    assert found.shape[1] > 20_000
    assert torch.isfinite(found).all()


def test_more_chunks_than_memory_can_hold_are_refused(parts, monkeypatch):
    monkeypatch.setattr(module, "MAX_CHUNKS", 5)
    with pytest.raises(LimitError, match="6 chunks"):
        one(parts, ["x" * 200, "y" * 200])


def test_each_kind_of_emphasis_does_something_of_its_own(parts):
    kinds = ("original", "no_norm", "ignore", "none")
    found = {kind: one(parts, ["a (red:1.7) cat"], emphasis=kind)[0] for kind in kinds}
    for kind in kinds:
        for other in kinds:
            assert torch.equal(found[kind], found[other]) == (kind == other)
    assert torch.equal(found["ignore"], one(parts, ["a red cat"])[0])


def test_two_encoders_stand_side_by_side_as_in_sdxl(parts, second):
    encoders = [
        TextEncoder(parts.tokenizer, parts.text_encoder, 0, layer=2, norm=False),
        TextEncoder(parts.tokenizer, second, 1, layer=2, norm=False, pooled=True),
    ]
    (found,) = run(encoders, ["a red cat"])
    given = ids(parts, "a red cat")
    narrow = parts.text_encoder(given, output_hidden_states=True).hidden_states[-2]
    wide = second(given, output_hidden_states=True)
    assert torch.equal(found.tokens, torch.cat([narrow, wide.hidden_states[-2]], dim=-1))
    assert found.tokens.shape == (1, 77, 80)
    assert torch.equal(found.added["text_embeds"], wide.text_embeds)
    assert found.added["text_embeds"].shape == (1, 24)


def test_the_pooled_vector_is_that_of_the_first_chunk(parts, second):
    reads = TextEncoder(parts.tokenizer, second, 1, layer=2, norm=False, pooled=True)
    (found,) = run([reads], ["a red cat BREAK a dog"])
    assert torch.allclose(
        found.added["text_embeds"], second(ids(parts, "a red cat")).text_embeds, atol=1e-5
    )
    assert found.tokens.shape == (1, 154, 48)


def test_clip_skip_with_norm_works_for_a_model_with_projection(parts, second):
    reads = TextEncoder(parts.tokenizer, second, 1, layer=2)
    (found,) = run([reads], ["a"])
    layers = second(ids(parts, "a"), output_hidden_states=True).hidden_states
    assert torch.equal(found.tokens, second.text_model.final_layer_norm(layers[-2]))


def rows(encoder, parts, text):
    """An embedding's vectors that say the same as some letters do."""
    tokens = parts.tokenizer(text, add_special_tokens=False).input_ids
    return encoder.get_input_embeddings().weight[tokens].detach().clone()


def test_an_embedding_is_read_in_place_of_its_name_by_every_encoder(parts, second):
    encoders = [
        TextEncoder(parts.tokenizer, parts.text_encoder, 0),
        TextEncoder(parts.tokenizer, second, 1, pooled=True),
    ]
    dog = Embedding("thing", (rows(parts.text_encoder, parts, "dog"), rows(second, parts, "dog")))
    (named,) = run(encoders, ["a (thing:1.3), red"], embeddings={"thing": dog})
    (spelt,) = run(encoders, ["a (dog:1.3), red"])
    (unknown,) = run(encoders, ["a (thing:1.3), red"])
    assert torch.equal(named.tokens, spelt.tokens)
    assert torch.equal(named.added["text_embeds"], spelt.added["text_embeds"])
    assert not torch.allclose(named.tokens, unknown.tokens)


def test_embeddings_work_in_later_chunks_and_leave_the_encoder_as_it_was(parts):
    dog = Embedding("thing", (rows(parts.text_encoder, parts, "dog"),))
    text = "x" * 70 + " BREAK " * 17 + "thing"
    (named,) = one(parts, [text], embeddings={"thing": dog})
    (spelt,) = one(parts, [text.replace("thing", "dog")])
    assert torch.equal(named, spelt)
    assert not parts.text_encoder.get_input_embeddings()._forward_hooks


def test_an_embedding_is_taken_out_of_the_encoder_when_that_fails(parts, monkeypatch):
    dog = Embedding("thing", (rows(parts.text_encoder, parts, "dog"),))

    def breaks(*given, **options):
        raise RuntimeError("broken")

    monkeypatch.setattr(parts.text_encoder.encoder, "forward", breaks)
    with pytest.raises(RuntimeError, match="broken"):
        one(parts, ["thing"], embeddings={"thing": dog})
    assert not parts.text_encoder.get_input_embeddings()._forward_hooks


def test_the_name_of_an_embedding_that_does_not_fit_is_text(parts, second):
    both = [
        TextEncoder(parts.tokenizer, parts.text_encoder, 0),
        TextEncoder(parts.tokenizer, second, 1),
    ]
    plain = run(both, ["a thing"])[0].tokens
    for vectors in (
        (torch.zeros(2, 32),),
        (torch.zeros(2, 32), None),
        (torch.zeros(2, 48), torch.zeros(2, 32)),
    ):
        found = run(both, ["a thing"], embeddings={"thing": Embedding("thing", vectors)})
        assert torch.equal(found[0].tokens, plain)
