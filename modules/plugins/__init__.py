"""The door for extensions: what an extension may import.

`plugin.py` of an extension takes what it needs from here; this imports no torch and no gradio. Its worker part takes
`Adapter` and `Step` from `modules.plugins.adapters`.
"""

from modules.errors import Cancelled, UserError
from modules.plugins.finisher import Finisher
from modules.plugins.hookspecs import hookimpl
from modules.plugins.options import Options
from modules.plugins.panel import Panel
from modules.schema import Event, GenerationRequest, ImageSaved, StepDone

__all__ = [
    "Cancelled",
    "Event",
    "Finisher",
    "GenerationRequest",
    "ImageSaved",
    "Options",
    "Panel",
    "StepDone",
    "UserError",
    "hookimpl",
]
