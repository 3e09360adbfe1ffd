"""The extensions that are here, what became of each, and what they add to a generation."""

import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pluggy
from pydantic import ValidationError

from modules.errors import ExtensionError, UnknownNameError, UserError
from modules.plugins.blame import blame
from modules.plugins.finisher import Finisher
from modules.plugins.hookspecs import PROJECT, Hooks
from modules.plugins.loader import ExtensionImporter
from modules.plugins.manifest import Manifest
from modules.plugins.options import Options
from modules.plugins.panel import Panel
from modules.schema import Event, GenerationRequest

if TYPE_CHECKING:  # the page's process has no torch
    from modules.diffusion.adapter import Adapter
    from modules.diffusion.parts import Parts

log = logging.getLogger(__name__)

ACTIVE, FAILED, DISABLED = "active", "failed", "disabled"


@dataclass(frozen=True)
class ExtensionReport:
    """One line of the Extensions tab."""

    name: str
    title: str
    title_zh: str
    version: str
    state: str
    reason: UserError | None
    traceback: str
    seconds: float
    hooks: tuple[str, ...]


@dataclass(frozen=True)
class MountedPanel:
    """A panel together with the extension and the options that it belongs to."""

    extension: str
    panel: Panel
    options: type[Options]


class Plugins:
    """Calls the hooks; an extension's error never goes further than its own name.

    While the page is built a failing extension becomes a report line; during a job its error fails the job by name, so
    that a wrong picture is never passed off as a right one.
    """

    def __init__(self, importer: ExtensionImporter) -> None:
        self._importer = importer
        self._hooks = pluggy.PluginManager(PROJECT)
        self._hooks.add_hookspecs(Hooks)
        self._reports: dict[str, ExtensionReport] = {}
        self._options: dict[str, type[Options]] = {}
        self._panels: list[MountedPanel] = []

    @classmethod
    def load(cls, folder: Path, *, safe_mode: bool = False, disabled: Sequence[str] = ()) -> Self:
        """Load each extension of `folder`; a broken one becomes a report with its reason and the rest start."""
        plugins = cls(ExtensionImporter(folder))
        for path in _extension_folders(folder):
            if safe_mode or path.name in disabled:
                key = "extension.off.safe_mode" if safe_mode else "extension.off.settings"
                plugins._reports[path.name] = _bare_report(path.name, DISABLED, UserError(key))
            else:
                plugins._add(path)
        return plugins

    @property
    def reports(self) -> tuple[ExtensionReport, ...]:
        """What became of each extension, by name."""
        return tuple(self._reports[name] for name in sorted(self._reports))

    @property
    def options(self) -> Mapping[str, type[Options]]:
        """The options class of each active extension that has one."""
        return dict(self._options)

    def panels(self, tab: str) -> tuple[MountedPanel, ...]:
        """The panels for one tab of the page, in the order of the extensions' names."""
        return tuple(panel for panel in self._panels if panel.panel.tab == tab)

    def panel_builder(self, mounted: MountedPanel) -> Callable[..., Any] | None:
        """The extension's own function for its panel, imported now, or None.

        Raises:
            ExtensionError: when it cannot be imported.
        """
        if mounted.panel.build is None:
            return None
        file, _, name = mounted.panel.build.partition(":")
        with blame(mounted.extension):
            builder = self._importer.load(mounted.extension, file, name)
        if not callable(builder):
            raise ExtensionError(
                "error.extension.failed",
                extension=mounted.extension,
                why=f"{name} is not a function",
            )
        return builder

    def drop(self, name: str, error: UserError) -> None:
        """Switch an extension off and keep the reason in its report."""
        report = self._reports[name]
        self._remove(name)
        self._reports[name] = replace(report, state=FAILED, reason=error, hooks=())

    def check(self, request: GenerationRequest) -> GenerationRequest:
        """Validate the extensions' options in `request.extras`; returns the request with them complete.

        Options with `enabled` false are left out.

        Raises:
            UnknownNameError: for an extension that is not active here.
            UserError: names the option and what was found.
        """
        extras: dict[str, Any] = {}
        for name, values in request.extras.items():
            if name not in self._options:
                known = ", ".join(sorted(self._options)) or "-"
                raise UnknownNameError("error.extension.unknown", found=name, known=known)
            options = self._parse(name, values)
            if options.enabled:
                extras[name] = options.model_dump(mode="json")
        return request if extras == request.extras else request.replace(extras=extras)

    def adapters_for(self, request: GenerationRequest, parts: "Parts") -> "list[Adapter]":
        """Each enabled extension's part in this generation, in the order in which they act.

        Raises:
            ExtensionError: names the extension that failed.
        """
        from modules.plugins.named import NamedAdapter  # only the worker comes here, it has torch

        adapters = []
        for name, hook in self._enabled("prepare_generation", request):
            with blame(name):
                adapter = hook(
                    request=request, options=self._parse(name, request.extras[name]), parts=parts
                )
            if adapter is not None:
                adapters.append(NamedAdapter(name, adapter))
        return sorted(adapters, key=lambda adapter: (adapter.order, adapter.name))

    def finishers_for(self, request: GenerationRequest) -> list[Finisher]:
        """The enabled extensions' steps after the picture is made, in the order in which they act.

        Raises:
            ExtensionError: names the extension that failed.
        """
        finishers: list[Finisher] = []
        for name, hook in self._enabled("register_finishers", request):
            with blame(name):
                found = hook(request=request, options=self._parse(name, request.extras[name])) or ()
            finishers += [_NamedFinisher(name, finisher) for finisher in found]
        return sorted(finishers, key=lambda finisher: finisher.order)

    def publish(self, event: Event) -> None:
        """Tell the extensions; one that fails here is logged, as it cannot change the picture."""
        for name, hook in self._implementations("on_event"):
            try:
                hook(event=event)
            except Exception:  # whatever it raises is its own; the job goes on
                log.exception("extension %s failed in on_event", name)

    def close(self) -> None:
        """Undo every import and registration."""
        for name in list(self._reports):
            self._remove(name)
        self._importer.forget()

    def _add(self, folder: Path) -> None:
        name = folder.name
        started = time.perf_counter()
        manifest: Manifest | None = None
        try:
            manifest = Manifest.read(folder)
            manifest.check_compatible()
            self._register(manifest)
        except ExtensionError as error:
            self._remove(name)
            cause = error.__cause__
            lines = "".join(traceback.format_exception(cause)) if cause else ""
            log.warning("%s", error, exc_info=cause)
            report = _bare_report(name, FAILED, error)
            self._reports[name] = replace(report, traceback=lines)
            return
        self._reports[name] = ExtensionReport(
            name=name,
            title=manifest.title,
            title_zh=manifest.title_zh or manifest.title,
            version=manifest.version,
            state=ACTIVE,
            reason=None,
            traceback="",
            seconds=time.perf_counter() - started,
            hooks=tuple(
                caller.name
                for caller in self._hooks.get_hookcallers(self._hooks.get_plugin(name)) or ()
            ),
        )

    def _register(self, manifest: Manifest) -> None:
        name = manifest.name
        file, _, entry = manifest.plugin.partition(":")
        with blame(name):
            plugin_class = self._importer.load(name, file, entry)
            if not isinstance(plugin_class, type):
                raise TypeError(f"{manifest.plugin} is not a class")
            self._hooks.register(plugin_class(), name=name)
            self._hooks.check_pending()
        for _, hook in self._implementations("register_options", only=name):
            with blame(name):
                options = hook()
                if not (isinstance(options, type) and issubclass(options, Options)):
                    raise TypeError("register_options must return a class derived from Options")
                options()  # each field needs a default: the panel and the API begin with it
            self._options[name] = options
        for _, hook in self._implementations("register_panels", only=name):
            with blame(name):
                panels = list(hook())
                if name not in self._options:
                    raise TypeError("a panel shows options: implement register_options too")
            self._panels += [MountedPanel(name, panel, self._options[name]) for panel in panels]

    def _remove(self, name: str) -> None:
        if self._hooks.has_plugin(name):
            self._hooks.unregister(name=name)
        self._options.pop(name, None)
        self._panels = [panel for panel in self._panels if panel.extension != name]
        self._importer.forget(name)

    def _implementations(
        self, hook: str, only: str | None = None
    ) -> Iterator[tuple[str, Callable[..., Any]]]:
        # pluggy would call them all together and lose whose error it was; it also calls the last one first.
        caller: pluggy.HookCaller = getattr(self._hooks.hook, hook)
        for implementation in sorted(caller.get_hookimpls(), key=lambda impl: impl.plugin_name):
            if only is None or implementation.plugin_name == only:
                yield implementation.plugin_name, _by_name(implementation)

    def _enabled(
        self, hook: str, request: GenerationRequest
    ) -> Iterator[tuple[str, Callable[..., Any]]]:
        for name, call in self._implementations(hook):
            if name in request.extras:
                yield name, call

    def _parse(self, name: str, values: Mapping[str, Any]) -> Options:
        try:
            return self._options[name].model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            option = ".".join(str(part) for part in first["loc"]) or "options"
            raise UserError(
                "error.extension.option",
                extension=name,
                option=option,
                found=repr(first["input"]),
                why=first["msg"],
            ) from error


class _NamedFinisher:
    """A finisher whose error names its extension."""

    def __init__(self, extension: str, inner: Finisher) -> None:
        self._extension = extension
        self._inner = inner
        self.order = inner.order

    def finish(self, image: Any, request: GenerationRequest, index: int) -> Any:
        with blame(self._extension):
            return self._inner.finish(image, request, index)


def _by_name(implementation: pluggy.HookImpl) -> Callable[..., Any]:
    def call(**values: Any) -> Any:
        # A hook may leave out the arguments that it does not need.
        return implementation.function(*(values[name] for name in implementation.argnames))

    return call


def _extension_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))
    )


def _bare_report(name: str, state: str, reason: UserError) -> ExtensionReport:
    return ExtensionReport(name, name, name, "", state, reason, "", 0.0, ())
