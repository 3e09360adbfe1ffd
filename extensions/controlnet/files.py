"""The control models that there are: the files of `models/controlnet/`, and folders of diffusers in there."""

import hashlib
from pathlib import Path

from modules.plugins import Host, ModelKind, problem

KIND = ModelKind(
    "controlnet", "ControlNet", "ControlNet", suffixes=(".safetensors", ".pth", ".pt", ".ckpt")
)
VISION = ModelKind("clip_vision", "CLIP vision", "CLIP 视觉编码器")
_IN_FOLDER = ("diffusion_pytorch_model", "diffusion_pytorch_model.fp16", "model")


def models(host: Host) -> dict[str, Path]:
    """Files by name; a folder of diffusers has the folder's name."""
    found: dict[str, Path] = {}
    for name, path in host.files(KIND).items():
        folder, _, file = name.rpartition("/")
        found.setdefault(folder if folder and file in _IN_FOLDER else name, path)
    return found


def find(host: Host, name: str) -> tuple[str, Path]:
    """The control model of that name, in any case, with or without suffix, folders or `[hash]`.

    Raises:
        UserError: there is none; says which there are.
    """
    known = models(host)
    wanted = _plain(name)
    for each, path in known.items():
        if _plain(each) == wanted:
            return each, path
    for each, path in known.items():
        if _plain(each.rpartition("/")[2]) == wanted.rpartition("/")[2]:
            return each, path
    listed = ", ".join(known) or "-"
    raise problem(
        f"There is no control model “{name[:200]}”. There are: {listed}. "
        "Files belong into models/controlnet.",
        f"没有名为“{name[:200]}”的控制模型。现有：{listed}。文件请放入 models/controlnet。",
    )


def short_hash(path: Path) -> str:
    """The 8 digits by which the A1111 family tells control models apart: of 64 KiB one MiB into the file."""
    with path.open("rb") as file:
        file.seek(0x100000)
        return hashlib.sha256(file.read(0x10000)).hexdigest()[:8]


def title(name: str, path: Path) -> str:
    """`name [hash]`, as such programs list it."""
    return f"{name} [{short_hash(path)}]"


def _plain(name: str) -> str:
    plain = name.strip().casefold()
    if plain.endswith("]") and "[" in plain:
        plain = plain[: plain.rindex("[")].strip()
    for suffix in KIND.suffixes:
        plain = plain.removesuffix(suffix)
    return plain
