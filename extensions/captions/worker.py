"""The worker's part: a finished picture is looked at, and what is seen goes into its text as `Caption`."""

from collections.abc import Callable, Mapping, Sequence

from PIL import Image

from modules.plugins import Finisher, GenerationRequest, Host, Options, hookimpl

from .files import find
from .look import Looking, load
from .options import InterrogateOptions

ORDER = -20
"""Before anything is drawn into the picture or enlarges it."""


class InterrogateWorker:
    """Holds the model that was used last."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._held: dict[str, Looking] = {}

    @hookimpl
    def register_finishers(
        self, request: GenerationRequest, options: Options
    ) -> Sequence[Finisher]:
        """One step, its model looked up before anything is done.

        Raises:
            UserError: the model is not there.
        """
        assert isinstance(options, InterrogateOptions)
        found = find(self._host, options.model)

        def look() -> Looking:
            if found.name not in self._held:
                self._held.clear()
                self._held[found.name] = load(self._host, found)
            return self._held[found.name]

        return [Captioning(found.name, look, options.threshold)]


class Captioning:
    """The picture stays as it is."""

    order = ORDER

    def __init__(self, name: str, look: Callable[[], Looking], threshold: float) -> None:
        self._name = name
        self._look = look
        self._threshold = threshold
        self._words = ""

    def finish(
        self,
        image: Image.Image,
        request: GenerationRequest,
        index: int,
        progress: Callable[[float], None] = lambda share: None,
    ) -> Image.Image:
        """Look at it."""
        look = self._look()
        progress(0.3)
        self._words = look(image.convert("RGB"), self._threshold)
        return image

    def infotext(self) -> Mapping[str, object]:
        """What was seen, and by whom."""
        return {"Caption": self._words or "-", "Caption model": self._name}
