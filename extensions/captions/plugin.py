"""Words for a picture: the page's part. `worker` has what looks at it."""

from collections.abc import Sequence

from modules.plugins import Options, Script, hookimpl

from .options import InterrogateOptions


class InterrogateExtension:
    """Registers the options, and that `/sdapi/v1/interrogate` leads here."""

    @hookimpl
    def register_options(self) -> type[Options]:
        return InterrogateOptions

    @hookimpl
    def register_scripts(self) -> Sequence[Script]:
        return [
            Script("Interrogate", aliases=("interrogate",), read="script:read", serves=("caption",))
        ]
