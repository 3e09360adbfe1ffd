"""The worker part: from a request's rows and tags to what changes the model."""

from modules.plugins import GenerationRequest, Host, Options, hookimpl
from modules.plugins.adapters import Adapter, Parts

from .adapter import Mix, Strand
from .blends import Blends
from .checks import acts, check_tags, unused_arguments
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
        check_tags(request.prompt)
        told = reconcile(request.prompt, rows)
        acting = self._blends.expand(told)
        strands = [self._strand(row, parts) for row in acting if acts(row)]
        if not strands:
            return None
        return Mix(
            strands,
            unread(request.prompt),
            untagged=told[
                len(rows_of(request.prompt)) :
            ],  # `reconcile` has the prompt's rows first
            refined=request.refiner is not None,
            warnings=unused_arguments(request.prompt),
        )

    def _strand(self, row: Row, parts: Parts) -> Strand:
        return Strand(row, self._loader.load(self._shelf.find(row), parts))
