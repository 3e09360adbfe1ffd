"""The extensions that are here, what became of each, and what they add to the program."""

import functools
import inspect
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import ValidationError

from modules.diffusion.prompts.networks import tags_of
from modules.diffusion.samplers import SAMPLERS, Sampler
from modules.errors import ExtensionError, RefusedError, UnknownNameError, UserError
from modules.plugins.action import Action, Planned, checked
from modules.plugins.axis import Axis
from modules.plugins.blame import blame, broke_promise, failed
from modules.plugins.command import Command, Queue
from modules.plugins.extension import Extension, load_extension
from modules.plugins.finisher import NamedFinisher
from modules.plugins.foreign import ForeignRoutes
from modules.plugins.host import Host, Pictures
from modules.plugins.limit import Hung, limited
from modules.plugins.loader import ExtensionImporter
from modules.plugins.manifest import Manifest
from modules.plugins.model_kind import ModelKind
from modules.plugins.options import Options
from modules.plugins.panel import Panel
from modules.plugins.parameters import Said, answered, unflattened, whole
from modules.plugins.report import ACTIVE, DISABLED, FAILED, ExtensionReport
from modules.plugins.requirements import missing
from modules.plugins.routes import Routes
from modules.plugins.script import Script
from modules.plugins.switches import MOST_FAILURES, Off, State, Switches
from modules.plugins.tab import Tab
from modules.plugins.upscaler import NamedUpscaler, Upscaler
from modules.schema import Event, Failed, Finished, GenerationRequest, Job, Layout
from modules.schema.problems import explain

if TYPE_CHECKING:  # the page's process has no torch
    from modules.diffusion.adapter import Adapter
    from modules.diffusion.parts import Parts

__all__ = ["ACTIVE", "DISABLED", "FAILED", "ExtensionReport", "MountedPanel", "Plugins"]

log = logging.getLogger(__name__)

LOAD_SECONDS = 30.0
EVENT_SECONDS = 5.0
ACTION_SECONDS = 30.0
SLOW_SECONDS = 2.0
_HEAVY = ("torch", "diffusers", "transformers", "gradio", "cv2", "tensorflow", "jax")

Process = Literal["page", "worker", "command"]
Inside = Callable[[str, str], AbstractContextManager[None]]


@dataclass(frozen=True)
class Places:
    """Folders that extensions may be told of."""

    models: Path = Path("models")
    data: Path = Path("data") / "extensions"
    """Each extension's own folder lies in here."""
    device: str = "auto"
    converted: Path | None = None
    pictures: Pictures | None = None
    """See `Host`."""


@dataclass(frozen=True)
class MountedPanel:
    """A panel together with the extension and the options that it belongs to."""

    extension: str
    panel: Panel
    options: type[Options]


def _nowhere(extension: str, hook: str) -> AbstractContextManager[None]:
    """Nobody asks which extension is running."""
    return nullcontext()


class Plugins:
    """Calls the hooks; an extension's error never goes further than its own name.

    While the page is built a failing extension becomes a report line; during a job its error fails the job by name, so
    that a wrong picture is never passed off as a right one. Every method may be called from any thread.
    """

    def __init__(
        self,
        folder: Path,
        *,
        switches: Switches,
        places: Places,
        process: Process,
        safe_mode: bool,
        disabled: Sequence[str],
        inside: Inside,
        load_seconds: float,
    ) -> None:
        self.switches = switches
        self._folder = folder
        self._places = places
        self._process: Process = process
        self._safe_mode = safe_mode
        self._disabled = frozenset(disabled)
        self._inside = inside
        self._load_seconds = load_seconds
        self._importer = ExtensionImporter(folder)
        self._lock = threading.RLock()
        self._loaded: dict[str, Extension] = {}
        self._reports: dict[str, ExtensionReport] = {}
        self._marks: dict[str, object] = {}
        self._laid_out: dict[str, object] | None = None
        self._deaf: dict[str, int] = {}
        self._upscaling: dict[str, NamedUpscaler] = {}
        self._seen: tuple[int, ...] = ()

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        switches: Switches | None = None,
        places: Places | None = None,
        process: Process = "page",
        safe_mode: bool = False,
        disabled: Sequence[str] = (),
        inside: Inside | None = None,
        load_seconds: float = LOAD_SECONDS,
    ) -> Self:
        """Load each extension of `folder`; a broken one becomes a report with its reason and the rest start.

        Args:
            switches: which are off and what happened before; without it nothing is remembered.
            process: where this is, the page or the worker.
            inside: told which extension's code runs in the worker, for whoever has to end it.
            load_seconds: what takes longer is given up by name.
        """
        plugins = cls(
            folder,
            switches=switches or Switches(),
            places=places or Places(),
            process=process,
            safe_mode=safe_mode,
            disabled=disabled,
            inside=inside or _nowhere,
            load_seconds=load_seconds,
        )
        name = plugins.switches.did_not_start(process)
        if name:
            error = UserError("extension.off.start", extension=name)
            plugins.switches.turn_off(
                name, Off.model_validate({"by": "start", "error": error.to_dict()})
            )
        plugins.refresh()
        return plugins

    # ------------------------------------------------------------------------------------------- what there is

    @property
    def folder(self) -> Path:
        """Where the extensions are."""
        return self._folder

    @property
    def reports(self) -> tuple[ExtensionReport, ...]:
        """What became of each extension, by name."""
        self._follow()
        with self._lock:
            state = self.switches.read()
            return tuple(self._report(name, state) for name in sorted(self._reports))

    @property
    def options(self) -> Mapping[str, type[Options]]:
        """The options class of each active extension that has one."""
        with self._lock:
            return {
                name: each.offers.options
                for name, each in sorted(self._loaded.items())
                if each.offers.options is not None
            }

    def panels(self, tab: str) -> tuple[MountedPanel, ...]:
        """The panels for one tab of the page, in the order of the extensions' names."""
        return tuple(
            MountedPanel(name, panel, extension.offers.options)
            for name, extension in self._active()
            for panel in extension.offers.panels
            if panel.tab == tab and extension.offers.options is not None
        )

    def tabs(self) -> tuple[tuple[str, Tab], ...]:
        """The extensions' own tabs, each with its extension's name."""
        return tuple(
            (name, tab) for name, extension in self._active() for tab in extension.offers.tabs
        )

    def routes(self) -> tuple[tuple[str, Routes], ...]:
        """The extensions' routes, each with its extension's name."""
        return tuple(
            (name, extension.offers.routes)
            for name, extension in self._active()
            if extension.offers.routes is not None
        )

    def foreign_routes(self) -> tuple[tuple[str, ForeignRoutes], ...]:
        """The extensions' routes at well-known addresses, each with its extension's name."""
        return tuple(
            (name, extension.offers.foreign)
            for name, extension in self._active()
            if extension.offers.foreign is not None
        )

    def scripts(self) -> tuple[tuple[str, Script], ...]:
        """The titles by which programs that speak `/sdapi/v1` call the extensions that have options."""
        return tuple(
            (name, script)
            for name, extension in self._active()
            if extension.offers.options is not None
            for script in extension.offers.scripts or (_own_script(extension),)
        )

    def model_kinds(self) -> Mapping[str, ModelKind]:
        """The kinds of weight files, by name; what two extensions share is there once."""
        return {
            kind.name: kind
            for _, extension in reversed(self._active())
            for kind in extension.offers.model_kinds
        }

    def samplers(self) -> tuple[Sampler, ...]:
        """The rows that extensions add to the table of samplers."""
        return tuple(row for _, extension in self._active() for row in extension.offers.samplers)

    def upscalers(self) -> tuple[Upscaler, ...]:
        """The rows that extensions add to the list of upscalers; `upscaling` has what works."""
        found: dict[str, Upscaler] = {}
        for _, extension in self._active():
            for row in extension.upscalers_now():
                found.setdefault(_folded(row.name), row)
        return tuple(found.values())

    def upscalers_of(self, name: str) -> tuple[str, ...]:
        """Names of the upscalers of one extension."""
        with self._lock:
            loaded = self._loaded.get(name)
            return tuple(row.name for row in loaded.upscalers_now()) if loaded else ()

    def axes(self) -> tuple[Axis, ...]:
        """What a grid can vary: every simple option, and what extensions add to that."""
        return tuple(axis for _, extension in self._active() for axis in extension.offers.axes)

    def tag_kinds(self) -> frozenset[str]:
        """The kinds of prompt tags that somebody reads."""
        return frozenset(kind for _, extension in self._active() for kind in extension.offers.tags)

    def writes(self, name: str) -> bool:
        """Whether it writes the prompts of pictures (`rewrite_prompts`)."""
        with self._lock:
            return name in self._loaded and "rewrite_prompts" in self._loaded[name].calls

    def is_active(self, name: str) -> bool:
        """Whether it takes part now."""
        self._follow()
        with self._lock:
            return name in self._loaded

    def why_not(self, name: str) -> UserError:
        """Why it does not take part."""
        return self._not_here(name)

    # ------------------------------------------------------------------------------------------- the page

    def part(self, extension: str, entry: str) -> Callable[..., Any]:
        """The extension's own function for a panel, tab or router, imported now.

        Raises:
            ExtensionError: it cannot be imported, or takes too long.
        """
        with self._lock:
            loaded = self._loaded[extension]
        try:
            found = limited(lambda: loaded.part(entry), self._load_seconds)
        except Hung as error:
            raise self._hung(extension, entry, error) from error
        if not callable(found):
            raise broke_promise(
                extension, entry, "type", wanted="function", found=type(found).__name__
            )
        return found

    def panel_builder(self, mounted: MountedPanel, **offered: Any) -> Callable[..., Any] | None:
        """The extension's own function for its panel, imported now, or None.

        Raises:
            ExtensionError: when it cannot be imported.
        """
        if mounted.panel.build is None:
            return None
        return self.builder(mounted.extension, mounted.panel.build, **offered)

    def builder(self, extension: str, entry: str, **offered: Any) -> Callable[..., Any]:
        """As `part`; one that takes `host` is handed its own, and what else is `offered` under a name that it takes."""
        found = self.part(extension, entry)
        with self._lock:
            host = self._loaded[extension].host
        offered["host"] = host
        with blame(extension):
            wanted = inspect.signature(found).parameters
        more = {name: value for name, value in offered.items() if name in wanted}
        return functools.partial(found, **more) if more else found

    def plan(self, name: str, action: Action, request: GenerationRequest) -> tuple[Planned, ...]:
        """What a panel's button asks for, in the page's process.

        Raises:
            UserError: the extension is off, or says itself what is wrong.
            ExtensionError: it failed, took too long, or gave what is no plan.
        """
        if not self.is_active(name):
            raise self.why_not(name)
        run = self.part(name, action.run)
        own = self.check(request).model_copy(deep=True)
        try:
            found = limited(lambda: run(own), ACTION_SECONDS)
        except Hung as error:
            raise self._hung(name, action.run, error) from error
        except UserError:
            raise  # its own words
        except Exception as error:  # it may raise anything: its name is blamed
            raise failed(name, error) from error
        return checked(name, action, found)

    def commands(self, name: str) -> tuple[Command, ...]:
        """The commands that an extension adds to the terminal's.

        Raises:
            UserError: there is no such extension, or it is off.
        """
        self._known(name)
        if not self.is_active(name):
            raise self.why_not(name)
        return self._loaded[name].offers.commands

    def top_command(self, word: str) -> tuple[str, Command] | None:
        """The command that stands at the top as `word`, with its extension's name; of two, that of the first name."""
        return next(
            (
                (name, command)
                for name, extension in self._active()
                for command in extension.offers.commands
                if command.top and command.name == word
            ),
            None,
        )

    def run_command(
        self, name: str, command: Command, words: Sequence[str], queue: Queue | None = None
    ) -> str:
        """What a command says; `queue` is for those that take it.

        Raises:
            UserError: its own words.
            ExtensionError: it failed by itself.
        """
        extension = self._loaded[name]
        run = extension.part(command.run)
        try:
            wants = "queue" in inspect.signature(run).parameters
            more = {"queue": queue} if wants else {}
            said = run(list(words), extension.host, **more)
        except UserError:
            raise
        except Exception as error:  # it may raise anything: its name is blamed
            raise failed(name, error) from error
        if not isinstance(said, str):
            raise broke_promise(name, command.run, "type", wanted="str", found=type(said).__name__)
        return said

    def drop(self, name: str, error: UserError) -> None:
        """Take an extension out for this run and keep the reason in its report."""
        with self._lock:
            report = self._reports[name]
            self._remove(name)
            self._reports[name] = replace(
                report, state=FAILED, reason=error, traceback=_cause(error), hooks=report.hooks
            )

    def laid_out(self) -> None:
        """The page stands: what is loaded from now on shows its panels after a restart."""
        with self._lock:
            self._laid_out = {name: self._marks[name] for name in self._loaded}

    # ------------------------------------------------------------------------------------------- on and off

    def enable(self, name: str) -> ExtensionReport:
        """Switch it on, now and after every start; its report.

        Raises:
            UnknownNameError: there is no such extension.
        """
        self._known(name)
        self.switches.turn_on(name)
        self._deaf.pop(name, None)
        with self._lock:
            if name not in self._loaded:
                self._reports.pop(name, None)  # it failed: try again
        self.refresh()
        return self._line(name)

    def disable(self, name: str) -> ExtensionReport:
        """Switch it off, now and after every start; its report.

        Raises:
            UnknownNameError: there is no such extension.
        """
        self._known(name)
        self.switches.turn_off(name, Off())
        self.refresh()
        return self._line(name)

    def refresh(self) -> None:
        """Follow the folder and the switches: load what is new or on again, let go of what is gone or off."""
        with self._lock:
            self._seen = self.switches.stamp
            state = self.switches.read()
            here = {path.name: path for path in extension_folders(self._folder)}
            for name in self._reports.keys() - here.keys():
                self._remove(name)
                del self._reports[name]
            for name, path in here.items():
                reason = self._why_off(name, state)
                mark = _mark(path, state, name)
                if reason is not None:
                    self._remove(name)
                    self._reports[name] = _off(path, reason)
                elif self._marks.get(name) != mark or name not in self._reports:
                    self._remove(name)
                    self._add(path)
                elif self._reports[name].state == DISABLED:
                    self._add(path)
                self._marks[name] = mark

    # ------------------------------------------------------------------------------------------- in a job

    def check(self, request: GenerationRequest) -> GenerationRequest:
        """Validate the extensions' options in `request.extras`; returns the request with them complete.

        Options with `enabled` false are left out. A prompt with a tag that an extension reads enables its options.

        Raises:
            UnknownNameError: for an extension that is not active here; says why if it is off.
            UserError: names the option and what was found.
        """
        self._follow()
        extras: dict[str, Any] = {}
        for name, values in request.extras.items():
            if name not in self.options:
                raise self._not_here(name)
            options = self._parse(name, values)
            if options.enabled:
                extras[name] = options.model_dump(mode="json")
        for name in self._tagged(request):
            if name not in extras:
                extras[name] = (
                    self._parse(name, {})
                    .model_copy(update={"enabled": True})
                    .model_dump(mode="json")
                )
        return request if extras == request.extras else request.replace(extras=extras)

    def read_parameters(
        self, parameters: Mapping[str, str]
    ) -> tuple[dict[str, dict[str, Any]], set[str]]:
        """Options by extension that parameters of a text mean, complete and valid, and the keys that were used.

        Raises:
            ExtensionError: names the extension that failed.
        """
        self._follow()
        classes = self.options
        simple = unflattened(parameters, classes)
        found: dict[str, dict[str, Any]] = {}
        used: set[str] = set()
        for name, extension in self._active():
            if name in classes:
                own = self._read(name, extension, parameters)
                said = whole(name, classes[name], own, simple.get(name, Said()))
                used |= said.keys
                if said.options:
                    found[name] = said.options
        return found, used

    def rewritten(self, request: GenerationRequest, index: int) -> GenerationRequest:
        """The checked request with the words of picture `index`, as the extensions write them, and checked again.

        Whoever wrote has no more to say in it, so rewriting it again changes nothing. The same request comes back
        if nobody writes.

        Raises:
            UserError: an extension's own words, or a tag or option in what it wrote is wrong.
            ExtensionError: names the extension that failed.
        """
        written = request
        for name, extension in self._active():
            hook = extension.calls.get("rewrite_prompts")
            if hook is None or name not in written.extras:
                continue
            words = self._ask_words(name, hook, written, index)
            if words is not None:
                rest = {each: values for each, values in written.extras.items() if each != name}
                prompt, negative = words
                written = written.replace(prompt=prompt, negative_prompt=negative, extras=rest)
        return request if written is request else self.check(written)

    def lays_out(self, request: GenerationRequest) -> bool:
        """Whether an extension that makes grids is enabled in the request."""
        return any(
            "lay_out" in each.calls and name in request.extras for name, each in self._active()
        )

    def lay_out(self, request: GenerationRequest, axes: Sequence[Axis], most: int) -> Layout | None:
        """The cells of a checked request for one picture, as the first extension that makes any lays them out.

        Raises:
            UserError: an extension's own words.
            ExtensionError: names the extension that failed.
        """
        for name, extension in self._active():
            hook = extension.calls.get("lay_out")
            if hook is None or name not in request.extras:
                continue
            options = self._parse(name, request.extras[name])
            rest = {each: values for each, values in request.extras.items() if each != name}
            own = request.replace(extras=rest)
            found = self._ask(
                name,
                "lay_out",
                lambda hook=hook, own=own, options=options: hook(  # type: ignore[misc]
                    request=own, options=options, axes=axes, most=most
                ),
            )
            if found is not None and not isinstance(found, Layout):
                said = type(found).__name__
                raise broke_promise(name, "lay_out", "type", wanted="Layout | None", found=said)
            if found is not None:
                return found
        return None

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
        with self._lock:
            found: dict[str, NamedUpscaler] = {}
            for extension, loaded in self._active():
                for row in loaded.upscalers_now():
                    if row.name not in found:
                        found[row.name] = self._upscaling.get(row.name) or NamedUpscaler(
                            extension, row, loaded.part, self._inside, loaded.host
                        )
            self._upscaling = found
            return dict(found)

    def publish(self, event: Event) -> None:
        """Tell the extensions; one that fails here is logged, as it cannot change the picture.

        One that fails again and again, or does not come back, is told nothing more until it is switched on again.
        """
        for name, extension in self._active():
            hook = extension.calls.get("on_event")
            if hook is None or self._deaf.get(name, 0) >= MOST_FAILURES:
                continue
            try:
                limited(lambda hook=hook: hook(event=event), EVENT_SECONDS)  # type: ignore[misc]
            except Hung as error:
                self._deaf[name] = MOST_FAILURES
                self._warn(name, "extension.warning.event_hung", seconds=error.seconds)
                log.error("extension %s hung in on_event:\n%s", name, error.stack)
            except Exception as error:  # whatever it raises is its own; the job goes on
                log.exception("extension %s failed in on_event", name)
                self._deaf[name] = self._deaf.get(name, 0) + 1
                if self._deaf[name] == MOST_FAILURES:
                    why = f"{type(error).__name__}: {error}"
                    self._warn(name, "extension.warning.event", why=why)
            else:
                self._deaf.pop(name, None)

    def settle(self, job: Job, end: Event) -> None:
        """A job is over: count whom it failed by, and clear those that it went through with."""
        match end:
            case Failed():
                error = UserError.from_dict(end.error)
                name = str(error.values.get("extension", ""))
                its_own = isinstance(error, ExtensionError) and not isinstance(error, RefusedError)
                if (
                    its_own
                    and self._has(name)
                    and self.switches.failed(name, end.error, end.traceback)
                ):
                    log.error("%s is switched off after %d failures", name, MOST_FAILURES)
            case Finished(cancelled=False):
                for name in job.request.extras:
                    self.switches.worked(name)

    def close(self) -> None:
        """Undo every import and registration."""
        with self._lock:
            for name in list(self._reports):
                self._remove(name)
            self._importer.forget()

    # ------------------------------------------------------------------------------------------- inside

    def _active(self) -> list[tuple[str, Extension]]:
        with self._lock:
            return sorted(self._loaded.items())

    def _follow(self) -> None:
        if self.switches.stamp != self._seen:
            self.refresh()

    def _has(self, name: str) -> bool:
        with self._lock:
            return name in self._reports

    def _known(self, name: str) -> None:
        self.refresh()  # it may have been put there since
        if not self._has(name):
            known = ", ".join(sorted(self._reports)) or "-"
            raise UnknownNameError("error.extension.none", found=name, known=known)

    def _line(self, name: str) -> ExtensionReport:
        with self._lock:
            return self._report(name, self.switches.read())

    def _report(self, name: str, state: State) -> ExtensionReport:
        report = self._reports[name]
        shows = name in self._loaded and self._loaded[name].offers.shows
        late = self._laid_out is not None and self._laid_out.get(name) != self._marks.get(name)
        return replace(
            report,
            failures=state.failures.get(name),
            origin=state.origins.get(name),
            restart=shows and late,
        )

    def _why_off(self, name: str, state: State) -> UserError | None:
        if self._safe_mode:
            return UserError("extension.off.safe_mode")
        if name in self._disabled:
            return UserError("extension.off.settings")
        off = state.off.get(name)
        if off is None:
            return None
        if off.by == "failures" and off.error is not None:
            error = UserError.from_dict(off.error)
            return UserError("extension.off.failures", count=MOST_FAILURES, why=error)
        return UserError.from_dict(off.error) if off.error else UserError("extension.off.person")

    def _add(self, folder: Path) -> None:
        name = folder.name
        before = {heavy for heavy in _HEAVY if heavy in sys.modules}
        started = time.perf_counter()
        manifest: Manifest | None = None
        try:
            manifest = Manifest.read(folder)
            manifest.check_compatible()
            self._check_requirements(manifest, folder)
            extension = self._load(manifest, folder)
            self._check_names(extension)
        except ExtensionError as error:
            self._remove(name)
            log.warning("%s", error, exc_info=error.__cause__)
            self._reports[name] = ExtensionReport(
                name,
                FAILED,
                manifest,
                reason=error,
                traceback=_cause(error),
                seconds=time.perf_counter() - started,
            )
            return
        seconds = time.perf_counter() - started
        warnings = []
        brought = [heavy for heavy in _HEAVY if heavy in sys.modules and heavy not in before]
        if brought and self._process == "page":
            warnings.append(UserError("extension.warning.heavy", what=", ".join(brought)))
        if seconds > SLOW_SECONDS and self._process == "page":
            warnings.append(UserError("extension.warning.slow", seconds=round(seconds, 1)))
        self._loaded[name] = extension
        self._reports[name] = ExtensionReport(
            name,
            ACTIVE,
            manifest,
            seconds=seconds,
            hooks=extension.hooks,
            warnings=tuple(warnings),
        )

    def _load(self, manifest: Manifest, folder: Path) -> Extension:
        places = self._places
        data = places.data / manifest.name
        host = Host(
            manifest.name,
            folder,
            places.models,
            data,
            places.device,
            places.converted,
            places.pictures,
        )
        with self.switches.starting(manifest.name, self._process):
            try:
                return limited(
                    lambda: load_extension(manifest, self._importer, host), self._load_seconds
                )
            except Hung as error:
                raise self._hung(manifest.name, manifest.plugin, error) from error

    def _hung(self, name: str, what: str, error: Hung) -> ExtensionError:
        hung = ExtensionError(
            "error.extension.hung", extension=name, hook=what, seconds=error.seconds
        )
        log.error("%s\n%s", hung, error.stack)
        hung.add_note(error.stack)
        return hung

    def _check_requirements(self, manifest: Manifest, folder: Path) -> None:
        lacking = list(missing(manifest.requires, folder))
        if lacking:
            raise ExtensionError(
                "error.extension.requires", extension=manifest.name, missing=", ".join(lacking)
            )

    def _check_names(self, extension: Extension) -> None:
        """A name that exists already would make a picture's text mean two things."""
        for what, rows, known in (
            ("sampler", extension.offers.samplers, (*SAMPLERS, *self.samplers())),
            ("upscaler", extension.offers.upscalers, self.upscalers()),
        ):
            names = {_folded(row.name) for row in known}
            for row in rows:
                if _folded(row.name) in names:
                    raise ExtensionError(
                        "error.extension.doubled",
                        extension=extension.name,
                        what=what,
                        found=row.name,
                    )
                names.add(_folded(row.name))

    def _remove(self, name: str) -> None:
        extension = self._loaded.pop(name, None)
        if extension is not None:
            self._upscaling.clear()  # made anew when they are next asked for
        self._importer.forget(name)

    def _read(self, name: str, extension: Extension, parameters: Mapping[str, str]) -> Said:
        hook = extension.calls.get("read_parameters")
        if hook is None or not parameters:
            return Said()
        own = dict(parameters)  # a copy for each
        try:
            with self._inside(name, "read_parameters"):
                said = limited(lambda: hook(parameters=own), ACTION_SECONDS)
        except Hung as error:
            raise self._hung(name, "read_parameters", error) from error
        except Exception as error:  # it may raise anything: its name is blamed
            raise failed(name, error) from error
        return answered(name, said, parameters)

    def _ask_words(
        self, name: str, hook: Callable[..., Any], request: GenerationRequest, index: int
    ) -> tuple[str, str] | None:
        arguments = self._arguments(name, request)
        found = self._ask(name, "rewrite_prompts", lambda: hook(**arguments, index=index))
        match found:
            case None:
                return None
            case (str(prompt), str(negative)):
                return prompt, negative
        wanted, said = "tuple[str, str] | None", type(found).__name__
        raise broke_promise(name, "rewrite_prompts", "type", wanted=wanted, found=said)

    def _ask(self, name: str, hook: str, call: Callable[[], Any]) -> Any:
        """What a hook says that may refuse what somebody has written, in its own words."""
        try:
            with self._inside(name, hook):
                return limited(call, ACTION_SECONDS)
        except Hung as error:
            raise self._hung(name, hook, error) from error
        except UserError:
            raise
        except Exception as error:  # it may raise anything: its name is blamed
            raise failed(name, error) from error

    def _tagged(self, request: GenerationRequest) -> list[str]:
        """The extensions that read a tag of the prompt."""
        kinds = {tag.kind for tags in tags_of([request.prompt]) for tag in tags}
        return [name for name, each in self._active() if kinds.intersection(each.offers.tags)]

    def _enabled(
        self, hook: str, request: GenerationRequest
    ) -> Iterator[tuple[str, Callable[..., Any]]]:
        for name, extension in self._active():
            if name not in request.extras:
                continue
            with self._blamed(name, hook):
                call = extension.worker_call(hook)
            if call is not None:
                yield name, call

    def _arguments(self, name: str, request: GenerationRequest) -> dict[str, Any]:
        # A copy for each: what one does to the nested parts of a request must not reach the others.
        own = request.model_copy(deep=True)
        return {"request": own, "options": self._parse(name, own.extras[name])}

    @contextmanager
    def _blamed(self, name: str, hook: str) -> Iterator[None]:
        with self._inside(name, hook), blame(name):
            yield

    def _warn(self, name: str, key: str, **values: object) -> None:
        with self._lock:
            report = self._reports[name]
            self._reports[name] = replace(
                report, warnings=(*report.warnings, UserError(key, **values))
            )

    def _not_here(self, name: str) -> UserError:
        with self._lock:
            report = self._reports.get(name)
        if report is None or report.reason is None:
            known = ", ".join(sorted(self.options)) or "-"
            return UnknownNameError("error.extension.unknown", found=name, known=known)
        return UnknownNameError("error.extension.off", found=name, why=report.reason)

    def _parse(self, name: str, values: Mapping[str, Any]) -> Options:
        try:
            return self.options[name].model_validate(values)
        except ValidationError as error:
            wrong = explain(error)
            raise UserError(
                "error.extension.option",
                extension=name,
                option=wrong.field or "options",
                found=wrong.found,
                why=wrong.why,
            ) from error
        except KeyError:
            raise self._not_here(name) from None


def extension_folders(folder: Path) -> list[Path]:
    """The folders that may be extensions, by name."""
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))
    )


def _own_script(extension: Extension) -> Script:
    """How one is called that says nothing of it."""
    return Script(extension.manifest.title, aliases=(extension.name,))


def _mark(folder: Path, state: State, name: str) -> object:
    """Differs when the files have been replaced."""
    origin = state.origins.get(name)
    try:
        facts = (folder / "extension.toml").stat()
    except OSError:
        return (None, origin)
    return (facts.st_mtime_ns, facts.st_ino, origin)


def _off(folder: Path, reason: UserError) -> ExtensionReport:
    try:
        manifest = Manifest.read(folder)
    except ExtensionError as error:
        log.debug("%s", error)  # it is off: that it is broken too is told when it is switched on
        manifest = None
    return ExtensionReport(folder.name, DISABLED, manifest, reason=reason)


def _cause(error: BaseException) -> str:
    if error.__cause__ is None:
        return "".join(getattr(error, "__notes__", ()))
    lines = "".join(traceback.format_exception(error.__cause__))
    return lines + "".join(getattr(error, "__notes__", ()))


def _folded(name: str) -> str:
    return name.strip().casefold()
