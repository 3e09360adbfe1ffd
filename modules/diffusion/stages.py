"""The stages around the loop, made to hold: memory that runs out and numbers that run out of bounds."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import torch
from torch import nn

from modules.diffusion.conditioning import Conditioning, Encoded
from modules.diffusion.families import Family
from modules.diffusion.memory import Remedy, offloaded, within_memory
from modules.diffusion.parts import Parts
from modules.diffusion.precision import computing_in, finite, higher
from modules.diffusion.progress import Notice, Progress
from modules.diffusion.tiles import in_tiles
from modules.diffusion.watched import watched
from modules.errors import UserError
from modules.schema import Stage

Result = TypeVar("Result")

# Of the autoencoder's tiles, in latents: 512 pixels at 8 pixels to a latent.
TILE, OVERLAP = 64, 16


class OutOfBounds(Exception):
    """NaN or infinite numbers came up on the way; caught by `Stages.guarded`."""


class Stages:
    """What one model does for one generation. Every method reports before each piece of work, so it can be stopped."""

    def __init__(self, parts: Parts, family: Family, report: Callable[[Progress], None]) -> None:
        self.parts = parts
        self.family = family
        self._report = report
        self._tiled = False

    def encode_text(self, work: Callable[[], Conditioning]) -> Conditioning:
        """The prompts, encoded by `work`."""
        parts = self.parts
        self._report(Progress(Stage.ENCODING))
        return self.guarded(
            Stage.ENCODING,
            _texts(parts),
            work,
            lambda found: all(finite(each) for each in _numbers(found)),
            [Remedy("notice.memory.offload", lambda: offloaded([parts.unet, parts.vae]))],
        )

    def encode_picture(self, pixels: torch.Tensor, *, scaled: bool = True) -> torch.Tensor:
        """Latents of pictures, (n, channels, h, w): the middle of the autoencoder's distribution.

        Args:
            pixels: (n, 3, height, width) from 0 to 1; the sides are whole latents.
        """
        side = self.family.scale(self.parts)

        def one(piece: torch.Tensor) -> torch.Tensor:
            return self.family.encode_images(self.parts, piece, scaled=scaled)

        def work() -> torch.Tensor:
            return torch.cat(
                [
                    self._pieces(Stage.PREPARING, each, one, TILE * side, OVERLAP * side)
                    for each in pixels.split(1)
                ]
            )

        return self.guarded(Stage.PREPARING, [self.parts.vae], work, finite, self._remedies())

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Pictures of latents: (n, 3, height, width), around 0 to 1."""

        def one(piece: torch.Tensor) -> torch.Tensor:
            return self.family.decode(self.parts, piece)

        def work() -> torch.Tensor:
            # One at a time: the decoder is where most memory goes, and pictures gain nothing from being together.
            return torch.cat(
                [
                    self._pieces(Stage.DECODING, each, one, TILE, OVERLAP)
                    for each in latents.split(1)
                ]
            )

        return self.guarded(Stage.DECODING, [self.parts.vae], work, finite, self._remedies())

    def guarded(
        self,
        stage: Stage,
        modules: Sequence[nn.Module],
        work: Callable[[], Result],
        good: Callable[[Result], bool],
        remedies: Sequence[Remedy] = (),
        *,
        small: bool = True,
        others: Sequence[Parts] = (),
    ) -> Result:
        """The result of `work`: with remedies where memory runs out, once more in higher precision where numbers do.

        Args:
            modules: what `work` computes with.
            work: can be done again from its beginning; may raise `OutOfBounds`.
            good: the numbers of the result are within bounds.
            small: the modules take little memory.
            others: further models that `modules` belong to.

        Raises:
            UserError: `error.nan.<stage>`: higher precision does not help, or there is none.
            torch.OutOfMemoryError: all remedies together do not suffice.
        """

        def tell(key: str) -> None:
            self._report(Progress(stage, notice=Notice(key)))

        def attempt() -> Result | None:
            try:
                found = within_memory(work, remedies, tell)
            except OutOfBounds:
                return None
            return found if good(found) else None

        found = attempt()
        if found is not None:
            return found
        dtype = modules[0].dtype if modules else None
        used = higher(dtype, small=small) if isinstance(dtype, torch.dtype) else None
        if used is None:
            raise UserError(f"error.nan.{stage}")
        values = {"found": _name(dtype), "used": _name(used)}
        self._report(Progress(stage, notice=Notice(f"notice.nan.{stage}", values)))
        with _computing((self.parts, *others), modules, used):
            found = attempt()
        if found is None:
            raise UserError(f"error.nan.{stage}")
        return found

    def _remedies(self) -> list[Remedy]:
        resting = [self.parts.unet, *_texts(self.parts)]
        return [
            Remedy("notice.memory.tiles", self._in_tiles),
            Remedy("notice.memory.offload", lambda: offloaded(resting)),
        ]

    @contextmanager
    def _in_tiles(self) -> Iterator[None]:
        self._tiled = (
            True  # for the rest of this generation: what was too much once is too much again
        )
        yield

    def _pieces(
        self,
        stage: Stage,
        given: torch.Tensor,
        work: Callable[[torch.Tensor], torch.Tensor],
        tile: int,
        overlap: int,
    ) -> torch.Tensor:
        def check() -> None:
            self._report(Progress(stage))

        if not self._tiled:
            check()
            # In one piece a large picture takes many seconds: who waits may stop in the middle of it.
            with watched(self.parts.vae, check):
                return work(given)
        return in_tiles(given, work, tile=tile, overlap=overlap, check=check)


@contextmanager
def _computing(
    models: Sequence[Parts], modules: Sequence[nn.Module], dtype: torch.dtype
) -> Iterator[None]:
    """The modules in `dtype`, and the models saying so where the denoiser or a text encoder is among them."""
    before = [parts.dtype for parts in models]
    with _all([computing_in(module, dtype) for module in modules]):
        for parts in models:
            if parts.vae not in modules:
                parts.dtype = dtype
        try:
            yield
        finally:
            for parts, own in zip(models, before, strict=True):
                parts.dtype = own


@contextmanager
def _all(contexts: Sequence[AbstractContextManager[None]]) -> Iterator[None]:
    if not contexts:
        yield
        return
    with contexts[0], _all(contexts[1:]):
        yield


def _texts(parts: Parts) -> list[nn.Module]:
    return parts.text_encoders


def _numbers(conditioning: Conditioning) -> Iterator[torch.Tensor]:
    """Every tensor of it, each once."""
    seen: set[int] = set()
    texts: list[Encoded] = [part.encoded for parts in conditioning.positive for part in parts]
    for text in (*texts, *(conditioning.negative or ())):
        if id(text) not in seen:
            seen.add(id(text))
            yield text.tokens
            yield from text.added.values()


def _name(dtype: object) -> str:
    names = {torch.float16: "fp16", torch.bfloat16: "bf16", torch.float32: "fp32"}
    return names.get(dtype, str(dtype)) if isinstance(dtype, torch.dtype) else str(dtype)
