"""What there is to make pictures with: models, samplers, schedules, upscalers, VAEs, axes and extensions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from modules.diffusion.samplers import SAMPLERS, Sampler
from modules.diffusion.schedules import SCHEDULES, Schedule
from modules.diffusion.upscalers import LATENT_UPSCALERS
from modules.imaging.upscale import PLAIN
from modules.plugins.axis import Axis
from modules.plugins.fields import core_axes
from modules.plugins.manager import ExtensionReport
from modules.schema import Event, GenerationRequest, Layout, ModelCard
from modules.services.models import Models, Scan
from modules.services.vaes import VaeFiles


class UpscalerRow(Protocol):
    """`modules.plugins.Upscaler`."""

    @property
    def name(self) -> str: ...


class PageExtensions(Protocol):
    """What the page's side asks of `modules.plugins.Plugins`."""

    @property
    def reports(self) -> Sequence[ExtensionReport]: ...
    def samplers(self) -> Sequence[Sampler]: ...
    def upscalers(self) -> Sequence[UpscalerRow]: ...
    def check(self, request: GenerationRequest) -> GenerationRequest: ...
    def rewritten(self, request: GenerationRequest, index: int) -> GenerationRequest: ...
    def read_parameters(
        self, parameters: Mapping[str, str]
    ) -> tuple[dict[str, dict[str, Any]], set[str]]: ...
    def publish(self, event: Event) -> None: ...
    def axes(self) -> Sequence[Axis]: ...
    def lays_out(self, request: GenerationRequest) -> bool: ...
    def lay_out(
        self, request: GenerationRequest, axes: Sequence[Axis], most: int
    ) -> Layout | None: ...
    def check_request(self, request: GenerationRequest, family: str) -> None: ...


class Stock:
    """Lists and names, as they are at this moment. Every method may be called from any thread."""

    def __init__(self, models: Models, plugins: PageExtensions, vaes: VaeFiles) -> None:
        self.schedules: Sequence[Schedule] = SCHEDULES
        self._models = models
        self._plugins = plugins
        self._vaes = vaes

    def models(self, refresh: bool = False) -> Scan:
        """Models and problems with model files; `refresh` looks into the folders again."""
        return self._models.all(refresh)

    def model(self, name: str | None) -> ModelCard:
        """The model of that name; None is the default one.

        Raises:
            UnknownNameError: lists the names that exist.
        """
        return self._models.find(name)

    @property
    def samplers(self) -> Sequence[Sampler]:
        """The table of samplers, the rows of extensions last."""
        return (*SAMPLERS, *self._plugins.samplers())

    @property
    def upscalers(self) -> Sequence[str]:
        """Names of what enlarges pictures, those of extensions last."""
        own = [row.name for row in PLAIN]
        return [*own, *(row.name for row in self._plugins.upscalers() if row.name not in own)]

    def vaes(self) -> Sequence[str]:
        """Names of the VAE files that are here now."""
        return self._vaes.names()

    def vae(self, name: str) -> str:
        """The name of a VAE file as it is spelled.

        Raises:
            UnknownNameError: lists those that exist.
        """
        return self._vaes.find(name)

    def axes(self) -> Sequence[Axis]:
        """What a grid can vary, with the names that are here now: the request's fields, then those of extensions."""
        names: dict[str, Sequence[str]] = {
            "model": [card.name for card in self.models().cards],
            "sampler": [row.name for row in self.samplers],
            "schedule": [row.name for row in self.schedules],
            "vae": self.vaes(),
            "hires.upscaler": [*(row.name for row in LATENT_UPSCALERS), *self.upscalers],
        }
        names |= {"refiner.model": names["model"]}
        names |= {"hires.sampler": names["sampler"], "hires.schedule": names["schedule"]}
        own = [
            replace(axis, choices=tuple(names[axis.name])) if axis.name in names else axis
            for axis in core_axes()
        ]
        return (*own, *self._plugins.axes())

    def extensions(self) -> Sequence[ExtensionReport]:
        """What became of each extension."""
        return self._plugins.reports

    def read_parameters(
        self, parameters: Mapping[str, str]
    ) -> tuple[dict[str, dict[str, Any]], set[str]]:
        """Options by extension that parameters of a text mean which are no field, and the keys that were used.

        Raises:
            ExtensionError: names the extension that failed.
        """
        return self._plugins.read_parameters(parameters)
