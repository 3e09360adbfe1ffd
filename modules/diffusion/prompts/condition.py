"""A request's prompts to what the denoiser is told at each step."""

from collections.abc import Sequence

from modules.diffusion.conditioning import Conditioning, Encoded, Weighted
from modules.diffusion.parts import Parts
from modules.diffusion.prompts.cache import Encode, cached
from modules.diffusion.prompts.encode import TextEncoder, encode
from modules.diffusion.prompts.plan import plan, plan_negative
from modules.diffusion.prompts.schedule import Pass
from modules.schema import GenerationRequest


def condition(
    prompt: str,
    negative_prompt: str | None,
    run: Pass,
    encode: Encode,
    encode_negative: Encode | None = None,
) -> Conditioning:
    """Read the prompts, encode each different text once, and say which holds at which step.

    Args:
        prompt: as people write it.
        negative_prompt: likewise; None where guidance is off.
        encode: the family's: plain texts to what its denoiser reads (`encoder` makes one for CLIP).
        encode_negative: where a family reads negative prompts in another way, such as SDXL an empty one.
    """
    steps = plan(prompt, run)
    texts = list(dict.fromkeys(part.text for parts in steps for part in parts))
    found = dict(zip(texts, encode(texts), strict=True))
    # The same sub-prompts are the same object, at whatever step.
    weighted = {part: Weighted(found[part.text], part.weight) for parts in steps for part in parts}
    positive = {parts: tuple(weighted[part] for part in parts) for parts in dict.fromkeys(steps)}
    negative: tuple[Encoded, ...] | None = None
    if negative_prompt is not None:
        avoided = plan_negative(negative_prompt, run)
        texts = list(dict.fromkeys(avoided))
        found = dict(zip(texts, (encode_negative or encode)(texts), strict=True))
        negative = tuple(found[text] for text in avoided)
    return Conditioning(tuple(positive[parts] for parts in steps), negative)


def first_pass(request: GenerationRequest) -> Pass:
    """The pass of a request by itself; that of hires fix's second is `Pass(its steps, the first one's steps)`."""
    if request.steps is None:
        raise ValueError("the request is not resolved")
    return Pass(request.steps, hires_follows=request.hires is not None)


def encoder(
    parts: Parts,
    request: GenerationRequest,
    encoders: Sequence[TextEncoder],
    text_key: tuple[str, ...] | None = None,
) -> Encode:
    """A function from plain texts to what a model with these CLIP text encoders reads, with the model's cache.

    Args:
        text_key: what `cache.text_key` says of the generation's adapters; None leaves the cache alone.
    """

    def run(texts: Sequence[str]) -> list[Encoded]:
        return encode(
            encoders,
            texts,
            device=parts.device,
            dtype=parts.dtype,
            emphasis=request.emphasis,
            embeddings=parts.embeddings,
        )

    if text_key is None:
        return run
    layers = tuple((one.slot, one.layer, one.norm, one.pooled) for one in encoders)
    # Embeddings are told apart by identity: a file that was read anew is another one.
    embeddings = tuple(parts.embeddings.values())
    return cached(run, parts.encoded, (layers, request.emphasis, embeddings, text_key))
