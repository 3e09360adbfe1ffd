"""The extensions' part in a job: what acts while pictures are made, who is told of it, and who is to blame."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from modules.errors import ExtensionError, RefusedError, UserError
from modules.plugins.blame import blame
from modules.plugins.checking import Checking
from modules.plugins.finisher import NamedFinisher
from modules.plugins.inside import Inside, nowhere
from modules.plugins.limit import Hung, limited
from modules.plugins.roster import Roster
from modules.plugins.switches import MOST_FAILURES
from modules.plugins.upscaler import NamedUpscaler
from modules.schema import Event, Failed, Finished, GenerationRequest, Job

if TYPE_CHECKING:  # the page's process has no torch
    from modules.diffusion.adapter import Adapter
    from modules.diffusion.parts import Parts

log = logging.getLogger(__name__)

EVENT_SECONDS = 5.0


class Working(Checking):
    """Hands the worker what acts in a job, and counts what went wrong."""

    def __init__(self, roster: Roster, inside: Inside = nowhere) -> None:
        super().__init__(roster, inside)
        self._deaf: dict[str, int] = {}

    def adapters_for(self, request: GenerationRequest, parts: "Parts") -> "list[Adapter]":
        """Each enabled extension's part in this generation, in the order in which they act.

        Raises:
            ExtensionError: names the extension that failed.
        """
        from modules.diffusion.seal import seal  # only the worker comes here, it has torch
        from modules.plugins.named import NamedAdapter, left_as_it_was

        adapters = []
        for name, hook in self._enabled("prepare_generation", request):
            before = seal(parts)
            with self._blamed(name, "prepare_generation"):
                adapter = hook(**self._arguments(name, request), parts=parts)
            left_as_it_was(name, before, parts, "prepare_generation")
            if adapter is not None:
                adapters.append(NamedAdapter(name, adapter, self._inside))
        return sorted(adapters, key=lambda adapter: (adapter.order, adapter.name))

    def finishers_for(self, request: GenerationRequest) -> list[NamedFinisher]:
        """The enabled extensions' steps after the picture is made, in the order in which they act.

        Raises:
            ExtensionError: names the extension that failed.
        """
        finishers: list[NamedFinisher] = []
        for name, hook in self._enabled("register_finishers", request):
            with self._blamed(name, "register_finishers"):
                found = list(hook(**self._arguments(name, request)) or ())
            finishers += [NamedFinisher(name, each, self._inside) for each in found]
        finishers.sort(key=lambda finisher: (finisher.order, finisher.extension))
        return finishers

    def upscaling(self) -> Mapping[str, NamedUpscaler]:
        """What does the work of each upscaler, by name; its code is imported when it is first used."""
        found: dict[str, NamedUpscaler] = {}
        for _, extension in self._roster.active():
            for name, upscaler in extension.upscaling(self._inside).items():
                found.setdefault(name, upscaler)
        return found

    def publish(self, event: Event) -> None:
        """Tell the extensions; one that fails here is logged, as it cannot change the picture.

        One that fails again and again, or does not come back, is told nothing more until it is switched on again.
        """
        for name, extension in self._roster.active():
            hook = extension.calls.get("on_event")
            if hook is None or self._deaf.get(name, 0) >= MOST_FAILURES:
                continue
            try:
                limited(lambda hook=hook: hook(event=event), EVENT_SECONDS)  # type: ignore[misc]
            except Hung as error:
                self._deaf[name] = MOST_FAILURES
                seconds = error.seconds
                self._roster.warn(name, "extension.warning.event_hung", seconds=seconds)
                log.error("extension %s hung in on_event:\n%s", name, error.stack)
            except Exception as error:  # whatever it raises is its own; the job goes on
                log.exception("extension %s failed in on_event", name)
                self._deaf[name] = self._deaf.get(name, 0) + 1
                if self._deaf[name] == MOST_FAILURES:
                    why = f"{type(error).__name__}: {error}"
                    self._roster.warn(name, "extension.warning.event", why=why)
            else:
                self._deaf.pop(name, None)

    def settle(self, job: Job, end: Event) -> None:
        """A job is over: count whom it failed by, and clear those that it went through with."""
        switches = self._roster.switches
        match end:
            case Failed():
                error = UserError.from_dict(end.error)
                name = str(error.values.get("extension", ""))
                its_own = isinstance(error, ExtensionError) and not isinstance(error, RefusedError)
                if (
                    its_own
                    and self._roster.has(name)
                    and switches.failed(name, end.error, end.traceback)
                ):
                    log.error("%s is switched off after %d failures", name, MOST_FAILURES)
            case Finished(cancelled=False):
                for name in job.request.extras:
                    switches.worked(name)

    def hear_again(self, name: str) -> None:
        """Tell it of events again, whatever was before."""
        self._deaf.pop(name, None)

    # ------------------------------------------------------------------------------------------- inside

    def _enabled(
        self, hook: str, request: GenerationRequest
    ) -> Iterator[tuple[str, Callable[..., Any]]]:
        for name, extension in self._roster.active():
            if name not in request.extras:
                continue
            with self._blamed(name, hook):
                call = extension.worker_call(hook)
            if call is not None:
                yield name, call

    @contextmanager
    def _blamed(self, name: str, hook: str) -> Iterator[None]:
        with self._inside(name, hook), blame(name):
            yield
