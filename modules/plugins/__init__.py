"""The door for extensions: what an extension may import.

`plugin.py` of an extension takes what it needs from here; this imports no torch and no gradio. Its worker part takes
`Adapter` and `Step` from `modules.plugins.adapters`.
"""

from modules.diffusion.capabilities import check_adapters
from modules.diffusion.samplers import Sampler
from modules.errors import Cancelled, UserError
from modules.plugins.action import Action, Planned
from modules.plugins.axis import Axis
from modules.plugins.blame import problem
from modules.plugins.command import Command, Queue
from modules.plugins.finisher import Finisher
from modules.plugins.foreign import ForeignRoutes, ServerQueue
from modules.plugins.guests import for_guests
from modules.plugins.hookspecs import hookimpl
from modules.plugins.host import Host
from modules.plugins.model_kind import ModelKind
from modules.plugins.options import Options
from modules.plugins.panel import Panel
from modules.plugins.routes import Routes
from modules.plugins.script import Argument, Script
from modules.plugins.tab import Tab
from modules.plugins.upscaler import Upscaler, Upscaling
from modules.schema import (
    Cell,
    Event,
    Failed,
    Finished,
    GenerationRequest,
    ImageSaved,
    Layout,
    LayoutAxis,
    Postprocess,
    StageChanged,
    StepDone,
    Warned,
)

__all__ = [
    "Action",
    "Argument",
    "Axis",
    "Cancelled",
    "Cell",
    "Command",
    "Event",
    "Failed",
    "Finished",
    "Finisher",
    "ForeignRoutes",
    "GenerationRequest",
    "Host",
    "ImageSaved",
    "Layout",
    "LayoutAxis",
    "ModelKind",
    "Options",
    "Panel",
    "Planned",
    "Postprocess",
    "Queue",
    "Routes",
    "Sampler",
    "Script",
    "ServerQueue",
    "StageChanged",
    "StepDone",
    "Tab",
    "Upscaler",
    "Upscaling",
    "UserError",
    "Warned",
    "check_adapters",
    "for_guests",
    "hookimpl",
    "problem",
]
