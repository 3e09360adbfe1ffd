"""Everything that an extension can join: the whole contract, on one page.

A hook hands over an object and the core runs the object: no hook changes its arguments, none is called per step.
Implement those you need, as methods marked `@hookimpl`: the first group on the class that `extension.toml` names as
`plugin`, the second there or on the class that it names as `worker`, which only the worker's process imports.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

from modules.schema import Event, GenerationRequest, Layout

if TYPE_CHECKING:  # the page's process loads this file too, and it has no torch
    from modules.diffusion.adapter import Adapter
    from modules.diffusion.parts import Parts
    from modules.diffusion.samplers import Sampler
    from modules.plugins.axis import Axis
    from modules.plugins.command import Command
    from modules.plugins.finisher import Finisher
    from modules.plugins.foreign import ForeignRoutes
    from modules.plugins.model_kind import ModelKind
    from modules.plugins.options import Options
    from modules.plugins.panel import Panel
    from modules.plugins.routes import Routes
    from modules.plugins.script import Script
    from modules.plugins.tab import Tab
    from modules.plugins.upscaler import Upscaler

PROJECT = "noisette"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Hooks(Protocol):
    """The hooks, in the order in which they are called."""

    # ---- what there is: called once, when the extension is loaded

    @hookspec
    def register_options(self) -> type[Options] | None:
        """Return the typed class of your options: controls, API fields, metadata and grid axes are made from it."""

    @hookspec
    def register_tags(self) -> Sequence[str]:
        """Return the kinds of prompt tags (`<kind:…>`) that you read; a prompt with one enables your options."""

    @hookspec
    def register_panels(self) -> Sequence[Panel]:
        """Return panels to mount on tabs of the page; each shows the fields of your options."""

    @hookspec
    def register_tabs(self) -> Sequence[Tab]:
        """Return tabs of your own; their functions run in the page's process."""

    @hookspec
    def register_model_kinds(self) -> Sequence[ModelKind]:
        """Return kinds of weight files; each has a folder below models/."""

    @hookspec
    def register_samplers(self) -> Sequence[Sampler]:
        """Return rows for the table of samplers."""

    @hookspec
    def register_upscalers(self) -> Sequence[Upscaler]:
        """Return rows for the list of upscalers; asked again whenever the list is, as files come and go."""

    @hookspec
    def register_axes(self) -> Sequence[Axis]:
        """Return what a grid can vary beside your options, which are axes by themselves."""

    @hookspec
    def register_api(self) -> Routes | None:
        """Return routes, to be served at /extensions/<your name>/."""

    @hookspec
    def register_foreign_api(self) -> ForeignRoutes | None:
        """Return routes at addresses where clients of the field look for them, such as `/controlnet/model_list`."""

    @hookspec
    def register_scripts(self) -> Sequence[Script]:
        """Return the titles under which `alwayson_scripts` and `script_name` of `/sdapi/v1` mean you."""

    @hookspec
    def register_commands(self) -> Sequence[Command]:
        """Return commands for the terminal: `noisette extensions run <your name> <command>`."""

    @hookspec
    def on_event(self, event: Event) -> None:
        """Look at what happens during a job, in the page's process; what you return is not used."""

    # ---- a text with parameters that somebody hands in: called in both processes

    @hookspec
    def read_parameters(
        self, parameters: Mapping[str, str]
    ) -> tuple[Mapping[str, Any], Collection[str]] | None:
        """Return your options that these parameters mean, by name, and the keys that you have used; or None.

        `parameters` are those of a picture's text, whoever wrote it, that the program does not know: keys and values
        as they stand. Options that stand there as `<your name> <option>` are read without you, and hold where both
        say something. Without options (an empty mapping) the keys say nothing that could be set. What you return is
        checked: with a value that is not allowed none of your keys is used. Any text may come: refuse none.
        """

    # ---- the words of a picture: called in both processes, for each picture of a job that has your options enabled

    @hookspec
    def rewrite_prompts(
        self, request: GenerationRequest, options: Options, index: int
    ) -> tuple[str, str] | None:
        """Return the prompt and the negative prompt of picture `index` (0-based), or None to leave them.

        The same request and index must give the same words at any time: draw from `request.seed_of(index)`. What
        other extensions, by their names' order, have written is in the request; tags in your words count. Once you
        have written, your options leave the request.
        """

    # ---- many pictures of one job: called in the page's process, when a job that has your options enabled is queued

    @hookspec
    def lay_out(
        self, request: GenerationRequest, options: Options, axes: Sequence[Axis], most: int
    ) -> Layout | None:
        """Return the cells that the job is to make instead of one picture, at most `most`; None if there are none.

        `request` is for one picture, its seed drawn, without your options. `axes` is everything that can be varied: the
        request's own fields and what extensions add. Each cell is checked as a request of its own.
        """

    # ---- before a job is queued: called in the page's process, for each request (of a grid: each cell) with your options

    @hookspec
    def check_request(self, request: GenerationRequest, options: Options, family: str) -> None:
        """Raise a `UserError` for what you would refuse in the job and can know without a model; return nothing.

        `request` is resolved, its seeds are drawn, and its words are those of its first picture (of who wrote them:
        those that were there before). `family` is that of its model, as in `parts.family`; "" for a request with
        `postprocess`, which has none. Your words are shown to who asked, `/api/v2` and `/sdapi/v1` answer 422, and
        nothing is queued, of requests that are queued together none of them. Anything else that you raise, or an answer
        that takes longer than 30 s, refuses that request by your name; those without you are queued as ever.

        Look at names, headers of files and `host.picture_size`; import no torch and open no picture. A file may come or
        go before the job runs, so check in the worker too. What a guest names has been found to be his own.
        """

    # ---- in a generation: called in the worker, once for each job that has your options enabled

    @hookspec
    def prepare_generation(
        self, request: GenerationRequest, options: Options, parts: Parts
    ) -> Adapter | None:
        """Return your part in this generation, or None."""

    @hookspec
    def register_finishers(
        self, request: GenerationRequest, options: Options
    ) -> Sequence[Finisher]:
        """Return steps that each take a finished picture and give one back."""


PAGE_HOOKS = (
    "register_options",
    "register_tags",
    "register_panels",
    "register_tabs",
    "register_model_kinds",
    "register_samplers",
    "register_upscalers",
    "register_axes",
    "register_api",
    "register_foreign_api",
    "register_scripts",
    "register_commands",
    "on_event",
    "read_parameters",
    "rewrite_prompts",
    "lay_out",
    "check_request",
)
WORKER_HOOKS = ("prepare_generation", "register_finishers")
