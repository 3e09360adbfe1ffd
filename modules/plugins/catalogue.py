"""What the active extensions offer, asked of all at once."""

from collections.abc import Mapping
from dataclasses import dataclass

from modules.diffusion.samplers import Sampler
from modules.plugins.axis import Axis
from modules.plugins.extension import Extension
from modules.plugins.foreign import ForeignRoutes
from modules.plugins.inside import Inside, nowhere
from modules.plugins.loading import folded
from modules.plugins.model_kind import ModelKind
from modules.plugins.options import Options
from modules.plugins.panel import Panel
from modules.plugins.roster import Roster
from modules.plugins.routes import Routes
from modules.plugins.script import Script
from modules.plugins.tab import Tab
from modules.plugins.upscaler import Upscaler


@dataclass(frozen=True)
class MountedPanel:
    """A panel together with the extension and the options that it belongs to."""

    extension: str
    panel: Panel
    options: type[Options]


class Catalogue:
    """Reads what was registered; runs nothing but `register_upscalers`, whose rows follow the files that are there."""

    def __init__(self, roster: Roster, inside: Inside = nowhere) -> None:
        self._roster = roster
        self._inside = inside

    @property
    def options(self) -> Mapping[str, type[Options]]:
        """The options class of each active extension that has one."""
        return self._roster.options()

    def panels(self, tab: str) -> tuple[MountedPanel, ...]:
        """The panels for one tab of the page, in the order of the extensions' names."""
        return tuple(
            MountedPanel(name, panel, extension.offers.options)
            for name, extension in self._roster.active()
            for panel in extension.offers.panels
            if panel.tab == tab and extension.offers.options is not None
        )

    def tabs(self) -> tuple[tuple[str, Tab], ...]:
        """The extensions' own tabs, each with its extension's name."""
        return tuple(
            (name, tab)
            for name, extension in self._roster.active()
            for tab in extension.offers.tabs
        )

    def routes(self) -> tuple[tuple[str, Routes], ...]:
        """The extensions' routes, each with its extension's name."""
        return tuple(
            (name, extension.offers.routes)
            for name, extension in self._roster.active()
            if extension.offers.routes is not None
        )

    def foreign_routes(self) -> tuple[tuple[str, ForeignRoutes], ...]:
        """The extensions' routes at well-known addresses, each with its extension's name."""
        return tuple(
            (name, extension.offers.foreign)
            for name, extension in self._roster.active()
            if extension.offers.foreign is not None
        )

    def scripts(self) -> tuple[tuple[str, Script], ...]:
        """The titles by which programs that speak `/sdapi/v1` call the extensions that have options."""
        return tuple(
            (name, script)
            for name, extension in self._roster.active()
            if extension.offers.options is not None
            for script in extension.offers.scripts or (_own_script(extension),)
        )

    def model_kinds(self) -> Mapping[str, ModelKind]:
        """The kinds of weight files, by name; what two extensions share is there once."""
        return {
            kind.name: kind
            for _, extension in reversed(self._roster.active())
            for kind in extension.offers.model_kinds
        }

    def samplers(self) -> tuple[Sampler, ...]:
        """The rows that extensions add to the table of samplers."""
        return tuple(row for _, each in self._roster.active() for row in each.offers.samplers)

    def upscalers(self) -> tuple[Upscaler, ...]:
        """The rows that extensions add to the list of upscalers; `upscaling` has what works."""
        found: dict[str, Upscaler] = {}
        for _, extension in self._roster.active():
            for row in extension.upscalers_now():
                found.setdefault(folded(row.name), row)
        return tuple(found.values())

    def upscalers_of(self, name: str) -> tuple[str, ...]:
        """Names of the upscalers of one extension."""
        loaded = self._roster.find(name)
        return tuple(row.name for row in loaded.upscalers_now()) if loaded else ()

    def axes(self) -> tuple[Axis, ...]:
        """What a grid can vary: every simple option, and what extensions add to that."""
        return tuple(axis for _, each in self._roster.active() for axis in each.offers.axes)

    def tag_kinds(self) -> frozenset[str]:
        """The kinds of prompt tags that somebody reads."""
        return frozenset(kind for _, each in self._roster.active() for kind in each.offers.tags)

    def writes(self, name: str) -> bool:
        """Whether it writes the prompts of pictures (`rewrite_prompts`)."""
        loaded = self._roster.find(name)
        return loaded is not None and "rewrite_prompts" in loaded.calls


def _own_script(extension: Extension) -> Script:
    """How one is called that says nothing of it."""
    return Script(extension.manifest.title, aliases=(extension.name,))
