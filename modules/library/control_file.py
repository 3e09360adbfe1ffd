"""Looking at a file that steers a denoiser by a picture: its header alone, in either process; no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modules.errors import ModelFileError
from modules.library.headers import Header, read_header
from modules.library.identify import Identity, identify
from modules.library.single import describe

Reads = Literal["image_embeds", "hidden_states"]
"""What an IP-Adapter takes of a picture: the image encoder's projected embedding, or its last layer but one."""
_READ = {"base": "proj.weight", "full": "proj.0.weight", "plus": "proj_in.weight"}
"""The tensor of an IP-Adapter's projection that takes the features, by variant."""


@dataclass(frozen=True)
class ControlFile:
    """A file whose header was read: `identity.kind` is controlnet, t2i_adapter or ip_adapter."""

    path: Path
    identity: Identity
    header: Header


def check_control(path: Path, family: str) -> ControlFile:
    """Read the header of a file that is to steer a model of `family`.

    Raises:
        ModelFileError: it is damaged, of another kind, or for another family; says what was found.
    """
    header = read_header(path)
    found = identify(header.shapes, header.metadata)
    if found.kind not in ("controlnet", "t2i_adapter", "ip_adapter"):
        raise ModelFileError("error.control.kind", file=path, found=describe(found))
    if found.kind == "controlnet" and found.variant != "controlnet":
        raise ModelFileError("error.control.variant", file=path, found=found.variant)
    if found.family and found.family != family and not _alike(found, family):
        raise ModelFileError(
            "error.control.family", file=path, found=_family(found.family), wanted=_family(family)
        )
    return ControlFile(path, found, header)


def features_of(file: ControlFile) -> tuple[Reads, int]:
    """What an IP-Adapter reads of a picture, and how wide those features are.

    Raises:
        ModelFileError: it is of another kind (FaceID), or damaged.
    """
    variant = file.identity.variant
    if variant not in _READ:
        raise ModelFileError("error.ip_adapter.variant", file=file.path, found=variant or "?")
    shape = file.header.shapes.get(f"image_proj.{_READ[variant]}", ())
    if len(shape) != 2:
        raise ModelFileError(
            "error.control.build", file=file.path, why=f"{_READ[variant]}: {shape}"
        )
    return ("image_embeds" if variant == "base" else "hidden_states"), shape[1]


def _alike(found: Identity, family: str) -> bool:
    """T2I-Adapters of SD 1.x and 2.x have the same shapes."""
    return found.kind == "t2i_adapter" and {found.family, family} == {"sd1", "sd2"}


def _family(name: str) -> str:
    return {"sd1": "SD 1.x", "sd2": "SD 2.x", "sdxl": "SDXL"}.get(name, name)
