"""Words for a picture: the page's part. `worker` has what looks at it."""

from collections.abc import Sequence

from modules.plugins import Host, Options, Script, hookimpl

from .files import find
from .options import InterrogateOptions


class InterrogateExtension:
    """Registers the options, and that `/sdapi/v1/interrogate` leads here."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @hookimpl
    def register_options(self) -> type[Options]:
        return InterrogateOptions

    @hookimpl
    def register_scripts(self) -> Sequence[Script]:
        return [
            Script("Interrogate", aliases=("interrogate",), read="script:read", serves=("caption",))
        ]

    @hookimpl
    def check_request(self, options: InterrogateOptions) -> None:
        find(self._host, options.model)
