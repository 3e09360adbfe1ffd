"""One extension: its page part, loaded and asked for everything that it offers, and its worker part for later."""

from __future__ import annotations

import ast
import inspect
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pluggy
from pydantic import BaseModel

from modules.diffusion.samplers import Sampler
from modules.plugins.axis import Axis, axes_of
from modules.plugins.blame import blame, broke_promise
from modules.plugins.command import Command
from modules.plugins.entry import split_entry
from modules.plugins.foreign import ForeignRoutes
from modules.plugins.hookspecs import PAGE_HOOKS, PROJECT, WORKER_HOOKS, Hooks
from modules.plugins.host import Host
from modules.plugins.inside import Inside
from modules.plugins.loader import ExtensionImporter
from modules.plugins.manifest import Manifest
from modules.plugins.model_kind import ModelKind
from modules.plugins.options import Options
from modules.plugins.panel import Panel
from modules.plugins.routes import Routes
from modules.plugins.script import Script
from modules.plugins.tab import Tab
from modules.plugins.upscaler import NamedUpscaler, Upscaler

TAG_KIND = re.compile(r"[a-z0-9_]{1,64}")

log = logging.getLogger(__name__)

Call = Callable[..., Any]
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Offers:
    """What an extension's page part has registered."""

    options: type[Options] | None = None
    tags: tuple[str, ...] = ()
    panels: tuple[Panel, ...] = ()
    tabs: tuple[Tab, ...] = ()
    model_kinds: tuple[ModelKind, ...] = ()
    samplers: tuple[Sampler, ...] = ()
    upscalers: tuple[Upscaler, ...] = ()
    axes: tuple[Axis, ...] = ()
    routes: Routes | None = None
    foreign: ForeignRoutes | None = None
    scripts: tuple[Script, ...] = ()
    commands: tuple[Command, ...] = ()

    @property
    def shows(self) -> bool:
        """Whether the page has to be laid out anew for it."""
        return bool(self.panels or self.tabs or self.routes or self.foreign)


@dataclass
class Extension:
    """Made by `load_extension`."""

    manifest: Manifest
    importer: ExtensionImporter
    host: Host
    offers: Offers = Offers()
    calls: dict[str, Call] = field(default_factory=dict)
    """The hooks of the part that is loaded."""
    worker_hooks: tuple[str, ...] = ()
    """Those of the worker part, read off its source without importing it."""
    worker_loaded: bool = False
    upscalers: dict[str, NamedUpscaler] = field(default_factory=dict)
    """What does the work of its rows, as it was last asked for."""

    @property
    def name(self) -> str:
        """Its own, which is also its folder's."""
        return self.manifest.name

    @property
    def hooks(self) -> tuple[str, ...]:
        """Every hook that it implements, in the order of the contract."""
        known = {*self.calls, *self.worker_hooks}
        return tuple(hook for hook in (*PAGE_HOOKS, *WORKER_HOOKS) if hook in known)

    def worker_call(self, hook: str) -> Call | None:
        """A hook of the worker, its part imported now if it was not yet; None if it has no such hook.

        Raises:
            ExtensionError: the worker part cannot be imported.
        """
        if self.manifest.worker and not self.worker_loaded:
            with blame(self.name):
                found = _hooks_of(_instance(self, self.manifest.worker))
                doubled = sorted(found.keys() & self.calls.keys())
                if doubled:
                    raise TypeError(f"{', '.join(doubled)} stands in both parts")
                wrong = sorted(found.keys() - set(WORKER_HOOKS))
                if wrong:
                    raise TypeError(f"{', '.join(wrong)} belongs on the class that 'plugin' names")
            self.calls.update(found)
            self.worker_loaded = True
        return self.calls.get(hook)

    def upscalers_now(self) -> tuple[Upscaler, ...]:
        """Its rows as they are now: files may have come and gone. Where it fails, those of the beginning."""
        call = self.calls.get("register_upscalers")
        if call is None:
            return ()
        try:
            found = tuple(call() or ())
        except Exception:  # it may raise anything; what it offered when it was loaded stands
            log.exception("%s failed in register_upscalers", self.name)
            return self.offers.upscalers
        return tuple(row for row in found if isinstance(row, Upscaler))

    def upscaling(self, inside: Inside) -> Mapping[str, NamedUpscaler]:
        """What does the work of each row as they are now; one that is still there keeps what it has loaded."""
        rows = {row.name: row for row in self.upscalers_now()}
        for name in list(self.upscalers):
            if name not in rows:
                self.upscalers.pop(name, None)
        return {
            name: self.upscalers.setdefault(
                name, NamedUpscaler(self.name, row, self.part, inside, self.host)
            )
            for name, row in rows.items()
        }

    def part(self, entry: str) -> Any:
        """What `"file:name"` names in its files, imported now.

        Raises:
            ExtensionError: it cannot be imported.
        """
        with blame(self.name):
            return self.importer.load(self.name, entry)


def load_extension(manifest: Manifest, importer: ExtensionImporter, host: Host) -> Extension:
    """Import the page part and ask it for everything that it offers.

    Raises:
        ExtensionError: it failed, or offered what a hook does not allow.
    """
    extension = Extension(manifest, importer, host)
    with blame(manifest.name):
        try:
            extension.calls = _hooks_of(_instance(extension, manifest.plugin))
            extension.worker_hooks = _read_hooks(host, manifest.worker)
            extension.offers = _offers(extension)
        except SystemExit as error:
            raise RuntimeError(f"it called sys.exit({error.code!r})") from error
    return extension


def _instance(extension: Extension, entry: str) -> object:
    found = extension.importer.load(extension.name, entry)
    if not isinstance(found, type):
        raise TypeError(f"{entry} is not a class")
    wants_host = "host" in inspect.signature(found).parameters
    return found(host=extension.host) if wants_host else found()


def _hooks_of(instance: object) -> dict[str, Call]:
    """The hooks by name, checked by pluggy against the contract."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    manager.register(instance, name="extension")
    manager.check_pending()
    found: dict[str, Call] = {}
    for caller in manager.get_hookcallers(instance) or ():
        (implementation,) = caller.get_hookimpls()
        found[caller.name] = _by_name(implementation)
    return found


def _by_name(implementation: pluggy.HookImpl) -> Call:
    def call(**values: Any) -> Any:
        # A hook may leave out the arguments that it does not need.
        return implementation.function(*(values[name] for name in implementation.argnames))

    return call


def _read_hooks(host: Host, entry: str) -> tuple[str, ...]:
    """The hooks that a class implements, by its source."""
    if not entry:
        return ()
    file, name = split_entry(entry)
    tree = ast.parse((host.folder / f"{file}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
            return tuple(m.name for m in methods if any(map(_marks, m.decorator_list)))
    raise AttributeError(f"{file}.py has no class {name}")


def _marks(decorator: ast.expr) -> bool:
    return ast.unparse(decorator).partition("(")[0].rpartition(".")[2] == "hookimpl"


def _offers(extension: Extension) -> Offers:
    def ask(hook: str) -> Any:
        call = extension.calls.get(hook)
        return None if call is None else call()

    def rows(hook: str, kind: type[Kind]) -> tuple[Kind, ...]:
        answer = ask(hook)
        if answer is None:
            return ()
        if not isinstance(answer, Sequence) or isinstance(answer, str):
            raise _wrong(extension.name, hook, f"list[{kind.__name__}]", answer)
        for row in answer:
            if not isinstance(row, kind):
                raise _wrong(extension.name, hook, f"list[{kind.__name__}]", row)
        return tuple(answer)

    options = ask("register_options")
    if options is not None:
        if not (isinstance(options, type) and issubclass(options, Options)):
            raise _wrong(extension.name, "register_options", "class of Options", options)
        _check_options(options)
    offers = Offers(
        options=options,
        tags=rows("register_tags", str),
        panels=rows("register_panels", Panel),
        tabs=rows("register_tabs", Tab),
        model_kinds=rows("register_model_kinds", ModelKind),
        samplers=rows("register_samplers", Sampler),
        upscalers=rows("register_upscalers", Upscaler),
        axes=rows("register_axes", Axis),
        routes=ask("register_api"),
        foreign=ask("register_foreign_api"),
        scripts=rows("register_scripts", Script),
        commands=rows("register_commands", Command),
    )
    if offers.routes is not None and not isinstance(offers.routes, Routes):
        raise _wrong(extension.name, "register_api", "Routes", offers.routes)
    if offers.foreign is not None:
        if not isinstance(offers.foreign, ForeignRoutes):
            raise _wrong(extension.name, "register_foreign_api", "ForeignRoutes", offers.foreign)
        offers.foreign.check()
    for entry in (
        *(panel.build for panel in offers.panels if panel.build is not None),
        *(action.run for panel in offers.panels for action in panel.actions),
        *(command.run for command in offers.commands),
        *(tab.build for tab in offers.tabs),
        *(row.build for row in offers.upscalers),
        *((offers.routes.build,) if offers.routes else ()),
        *((offers.foreign.build,) if offers.foreign else ()),
        *(
            each
            for script in offers.scripts
            for each in (script.read, script.images, script.forgives)
            if each
        ),
    ):
        split_entry(entry)
    for panel in offers.panels:
        _check_receipt_words(panel)
    if offers.panels and options is None:
        raise TypeError("a panel shows options: implement register_options too")
    if offers.scripts and options is None:
        raise TypeError("a script sets options: implement register_options too")
    if offers.tags and options is None:
        raise TypeError("register_tags needs register_options: a tag switches them on")
    for kind in offers.tags:
        if not TAG_KIND.fullmatch(kind):
            raise ValueError(f"the tag kind {kind!r}: use small letters, digits and _")
    working = {*extension.calls, *extension.worker_hooks} & {
        "read_parameters",
        "rewrite_prompts",
        "lay_out",
        "check_request",
        *WORKER_HOOKS,
    }
    if working and options is None:
        raise TypeError(f"{sorted(working)[0]} needs register_options: they switch it on")
    own = f"{extension.name}."
    for axis in offers.axes:
        if not axis.name.startswith(own):
            raise ValueError(f"the axis {axis.name!r} has to begin with {own!r}")
    made = tuple(axes_of(extension.name, options)) if options is not None else ()
    return replace(offers, axes=(*made, *offers.axes))


def _check_receipt_words(panel: Panel) -> None:
    for word, said in panel.receipt.items():
        pair = isinstance(said, tuple | list) and len(said) == 2
        if not (isinstance(word, str) and pair and all(isinstance(text, str) for text in said)):
            raise TypeError(f"the receipt word {word!r}: give its English and its Chinese text")


def _check_options(options: type[BaseModel]) -> None:
    default = options()  # each field needs a default: the panel and the API begin with it
    plain = default.model_dump(mode="json")
    if options.model_validate(plain) != default:
        raise TypeError("the options are not the same after a round trip through JSON")
    for name in options.model_fields:
        if "__" in name:
            raise TypeError(f"the option {name!r}: '__' stands between extension and option")


def _wrong(name: str, hook: str, wanted: str, found: object) -> Exception:
    said = found.__name__ if isinstance(found, type) else type(found).__name__
    return broke_promise(name, hook, "type", wanted=wanted, found=said)
