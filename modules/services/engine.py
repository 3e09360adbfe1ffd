"""What a generation is handed: the engine, the models and the extensions, as far as the services know them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from PIL import Image

from modules.diffusion.inputs import Inputs
from modules.schema import GenerationRequest, ModelCard


class StepReport(Protocol):
    """What `diffusion.generate` tells at every stage change and step (`modules.diffusion.pipeline.Progress`)."""

    @property
    def stage(self) -> str: ...
    @property
    def step(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def preview(self) -> Image.Image | None: ...
    @property
    def notice(self) -> "Notice | None": ...


class Notice(Protocol):
    """`modules.diffusion.progress.Notice`."""

    @property
    def key(self) -> str: ...
    @property
    def values(self) -> Mapping[str, object]: ...


class Generate(Protocol):
    """`modules.diffusion.pipeline.generate`."""

    def __call__(
        self,
        parts: Any,
        request: GenerationRequest,
        adapters: Sequence[Any],
        report: Callable[[Any], None],
        *,
        first: int,
        count: int,
        preview: int,
        inputs: Inputs,
    ) -> Sequence[Image.Image]: ...


class ModelSource(Protocol):
    """`modules.library.cache.ModelCache`."""

    def acquire(self, card: ModelCard) -> AbstractContextManager[Any]: ...


class Finishing(Protocol):
    """`modules.plugins.Finisher`."""

    def finish(
        self,
        image: Image.Image,
        request: GenerationRequest,
        index: int,
        progress: Callable[[float], None] = ...,
    ) -> Image.Image: ...
    def infotext(self) -> Mapping[str, object]: ...


class Extensions(Protocol):
    """What `modules.plugins.Plugins` does for a job; its errors name the extension."""

    def check(self, request: GenerationRequest) -> GenerationRequest: ...
    def rewritten(self, request: GenerationRequest, index: int) -> GenerationRequest: ...
    def adapters_for(self, request: GenerationRequest, parts: Any) -> Sequence[Any]: ...
    def finishers_for(self, request: GenerationRequest) -> Sequence[Finishing]: ...
    def tag_kinds(self) -> Collection[str]: ...
    def read_parameters(
        self, parameters: Mapping[str, str]
    ) -> tuple[dict[str, dict[str, Any]], set[str]]: ...
