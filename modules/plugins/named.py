"""An adapter whose errors name the extension that it came from."""

from collections.abc import Iterator
from contextlib import contextmanager

from modules.diffusion.adapter import Adapter, Step
from modules.diffusion.parts import Parts
from modules.plugins.blame import blame


class NamedAdapter(Adapter):
    """Passes every call on to `inner`; what goes wrong inside becomes an `ExtensionError`."""

    def __init__(self, extension: str, inner: Adapter) -> None:
        self.name = extension
        self.order = inner.order
        self._inner = inner

    @contextmanager
    def applied(self, parts: Parts) -> Iterator[None]:
        """Enter and leave `inner`; an error of the generation in between stays the generation's."""
        with blame(self.name):
            change = self._inner.applied(parts)
            change.__enter__()
        try:
            yield
        except BaseException as error:
            if not change.__exit__(type(error), error, error.__traceback__):
                raise
        else:
            with blame(self.name):
                change.__exit__(None, None, None)

    def before_model(self, step: Step) -> None:
        """See `Adapter`."""
        with blame(self.name):
            self._inner.before_model(step)

    def after_guidance(self, step: Step) -> None:
        """See `Adapter`."""
        with blame(self.name):
            self._inner.after_guidance(step)

    def after_step(self, step: Step) -> None:
        """See `Adapter`."""
        with blame(self.name):
            self._inner.after_step(step)
