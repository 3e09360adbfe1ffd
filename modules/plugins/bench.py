"""One extension on the bench: the real door, the real loop and the small model that comes along."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from modules.errors import Cancelled, UserError
from modules.plugins.manager import Places, Plugins
from modules.plugins.report import ACTIVE
from modules.schema import GenerationRequest

if TYPE_CHECKING:
    from modules.diffusion.parts import Parts

MODELS = Path(__file__).resolve().parents[2] / "models"
MODEL = "pocket"
PLAIN = {
    "prompt": "a red apple",
    "width": 64,
    "height": 64,
    "steps": 3,
    "cfg_scale": 3.0,
    "sampler": "euler",
    "schedule": "default",
    "seed": 7,
    "model": MODEL,
}
"""A small request with nothing left open."""


class _Pictures:
    """Pictures that somebody hands in, in memory."""

    def __init__(self) -> None:
        self._kept: dict[str, Image.Image] = {}

    def keep(self, image: Image.Image) -> str:
        """Its id: what `modules.services.inputs` gives looks alike."""
        head = f"{image.mode} {image.width}x{image.height}\n".encode("ascii")
        name = hashlib.sha256(head + image.tobytes()).hexdigest()
        self._kept[name] = image.copy()
        return name

    def open(self, name: str) -> Image.Image:
        """The picture with that id.

        Raises:
            UserError: there is none.
        """
        if name not in self._kept:
            raise UserError("error.input.missing", id=name[:12])
        return self._kept[name].copy()

    def size(self, name: str) -> tuple[int, int]:
        """Its width and height.

        Raises:
            UserError: there is none.
        """
        return self.open(name).size


class Bench:
    """One extension, loaded through the door, and a model to try it on."""

    def __init__(self, extension: Path, models: Path = MODELS) -> None:
        self.name = extension.resolve().name
        self._models = models
        self._folder = tempfile.TemporaryDirectory(prefix="noisette-bench-")
        alone = Path(self._folder.name) / "extensions"
        alone.mkdir()
        (alone / self.name).symlink_to(extension.resolve(), target_is_directory=True)
        data = Path(self._folder.name) / "data"
        self.pictures = _Pictures()
        places = Places(models, data, pictures=self.pictures)
        self.plugins = Plugins.load(alone, places=places)

    def close(self) -> None:
        """Undo the imports."""
        self.plugins.close()
        self._folder.cleanup()

    @property
    def active(self) -> bool:
        """Whether it could be loaded; `plugins.reports` says why not."""
        return self.plugins.reports[0].state == ACTIVE

    @cached_property
    def parts(self) -> "Parts":
        """The small model, on the processor."""
        from modules.library.load import load
        from modules.library.scan import read_card

        return load(read_card(self._models / "checkpoints" / MODEL), "cpu", "fp32")

    def request(self, options: dict[str, Any] | None = None, **fields: Any) -> GenerationRequest:
        """A small request; with `options` (also `{}`) the extension is enabled."""
        extras = {} if options is None else {self.name: {"enabled": True, **options}}
        return self.plugins.check(GenerationRequest(**{**PLAIN, **fields, "extras": extras}))

    def picture(
        self,
        options: dict[str, Any] | None = None,
        *,
        report: Callable[[Any], None] = lambda progress: None,
        **fields: Any,
    ) -> Image.Image:
        """The picture of `request(options, **fields)`, rewritten prompts and finishers included."""
        from modules.diffusion.inputs import Inputs
        from modules.diffusion.pipeline import generate
        from modules.imaging.upscale import PLAIN as PLAIN_UPSCALERS

        request = self.plugins.rewritten(self.request(options, **fields), 0)
        upscalers = {each.name: each for each in PLAIN_UPSCALERS}
        inputs = Inputs(
            upscalers={**upscalers, **self.plugins.upscaling()}, samplers=self.plugins.samplers()
        )
        adapters = self.plugins.adapters_for(request, self.parts)
        (image,) = generate(self.parts, request, adapters, report, inputs=inputs)
        for finisher in self.plugins.finishers_for(request):
            image = finisher.finish(image, request, 0)
        return image

    def cancelled(self, options: dict[str, Any] | None = None, *, at: int = 2) -> None:
        """Begin a picture and stop it at a step."""

        def stop(progress: Any) -> None:
            if progress.step == at:
                raise Cancelled

        try:
            self.picture(options, report=stop)
        except Cancelled:
            return
        raise AssertionError("the picture was finished although it was to be stopped")

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Within this block the model may change; after it each weight has to be what it was, bit by bit.

        Raises:
            AssertionError: names the first weight that is not.
        """
        from modules.diffusion.seal import seal

        before = seal(self.parts)
        kept = {name: tensor.clone() for name, tensor in self._tensors()}
        yield
        now = dict(self._tensors())
        for name, tensor in kept.items():
            if name not in now or not bool(now[name].equal(tensor)):
                raise AssertionError(f"{name} is not what it was")
        place = before.difference(seal(self.parts))
        if place is not None:
            raise AssertionError(f"{place} is not what it was")

    def _tensors(self) -> Iterator[tuple[str, Any]]:
        for number, module in enumerate(self.parts.modules()):
            for name, tensor in (*module.named_parameters(), *module.named_buffers()):
                yield f"{number}.{name}", tensor
