"""The worker part: from a request's rows and tags to what changes the model."""

from modules.plugins import GenerationRequest, Host, Options, hookimpl, problem
from modules.plugins.adapters import Adapter, Parts

from .adapter import Mix, Strand
from .blends import Blends
from .loaded import Loader
from .options import LoraOptions
from .places import blends_folder
from .rows import Row
from .shelf import Shelf
from .tags import reconcile, rows_of, unread


class LoraWorker:
    """Keeps what was read from LoRA files between jobs."""

    def __init__(self, host: Host) -> None:
        self._shelf = Shelf.of(host)
        self._blends = Blends(blends_folder(host))
        self._loader = Loader(self._shelf)

    @hookimpl
    def prepare_generation(
        self, request: GenerationRequest, options: Options, parts: Parts
    ) -> Adapter | None:
        """The rows that act, each with its file.

        Raises:
            UserError: a tag that cannot be read, a LoRA or blend that is not there, or one for another model.
        """
        rows = options.rows if isinstance(options, LoraOptions) else ()
        spoilt = [text for text in unread(request.prompt) if text.startswith("<")]
        if spoilt:
            raise problem(
                f"The tag {spoilt[0]} cannot be read. Write it as <lora:name:0.8>.",
                f"无法识别标签 {spoilt[0]}。请写成 <lora:名称:0.8>。",
            )
        told = reconcile(request.prompt, rows)
        acting = self._blends.expand(told)
        strands = [self._strand(row, parts) for row in acting if _acts(row)]
        if not strands:
            return None
        return Mix(
            strands,
            unread(request.prompt),
            untagged=told[
                len(rows_of(request.prompt)) :
            ],  # `reconcile` has the prompt's rows first
            refined=request.refiner is not None,
        )

    def _strand(self, row: Row, parts: Parts) -> Strand:
        return Strand(row, self._loader.load(self._shelf.find(row), parts))


def _acts(row: Row) -> bool:
    return row.on and bool(row.weight or row.text_weight)
