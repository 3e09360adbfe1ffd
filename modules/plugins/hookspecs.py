"""Everything that an extension can join: the whole contract, on one page.

A hook hands over an object and the core runs the object: no hook changes its arguments, none is called per step.
Implement those you need, as methods marked `@hookimpl` on the class that `extension.toml` names as `plugin`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import pluggy

from modules.schema import Event, GenerationRequest

if TYPE_CHECKING:  # the page's process loads this file too, and it has no torch
    from modules.diffusion.adapter import Adapter
    from modules.diffusion.parts import Parts
    from modules.plugins.finisher import Finisher
    from modules.plugins.options import Options
    from modules.plugins.panel import Panel

PROJECT = "noisette"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Hooks(Protocol):
    """The hooks, in the order in which they are called."""

    @hookspec
    def register_options(self) -> type[Options] | None:
        """Return the typed class of your options: controls, API fields and metadata are made from it."""

    @hookspec
    def register_panels(self) -> Sequence[Panel]:
        """Return panels to mount on tabs of the page; each shows the fields of your options."""

    @hookspec
    def prepare_generation(
        self, request: GenerationRequest, options: Options, parts: Parts
    ) -> Adapter | None:
        """Return your part in this generation, or None; called in the worker, only when your options are enabled."""

    @hookspec
    def register_finishers(
        self, request: GenerationRequest, options: Options
    ) -> Sequence[Finisher]:
        """Return steps that each take a finished picture and give one back; called in the worker, only when enabled."""

    @hookspec
    def on_event(self, event: Event) -> None:
        """Look at what happens during a job; what you return is not used."""
