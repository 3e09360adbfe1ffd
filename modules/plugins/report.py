"""What became of an extension: one line of the Extensions tab."""

from dataclasses import dataclass, field

from modules.errors import UserError
from modules.plugins.manifest import Manifest
from modules.plugins.switches import Failures, Origin

ACTIVE, FAILED, DISABLED = "active", "failed", "disabled"


@dataclass(frozen=True)
class ExtensionReport:
    """`state` is one of the three above; `reason` says why it is not active."""

    name: str
    state: str
    manifest: Manifest | None = None
    reason: UserError | None = None
    traceback: str = ""
    seconds: float = 0.0
    """What loading it took."""
    hooks: tuple[str, ...] = ()
    """Those that it implements, the worker's included."""
    warnings: tuple[UserError, ...] = ()
    failures: Failures | None = None
    """The last job that it failed, if there was one."""
    origin: Origin | None = None
    """Where it was installed from; None for one that came along or was put there by hand."""
    restart: bool = field(default=False)
    """The page that is served was laid out without it: its panel and tab show after a restart."""

    @property
    def title(self) -> str:
        """Its English title, or its name."""
        return self.manifest.title if self.manifest else self.name

    @property
    def title_zh(self) -> str:
        """Its Chinese title, or the English one."""
        return (self.manifest.title_zh if self.manifest else "") or self.title

    @property
    def version(self) -> str:
        """As its manifest says, or nothing."""
        return self.manifest.version if self.manifest else ""
