"""The names under which LoRA files know a U-Net's modules, besides diffusers' own.

The original code of Stable Diffusion counts all blocks through ("input_blocks.4.1"), and LoRA files for SDXL use those
names. Stems in files come with dots or with underscores, so names are compared with underscores only (`flat`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping

_BLOCK = re.compile(
    r"(down_blocks|up_blocks)\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)(.*)"
)
_MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)(.*)")
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_TOP = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def flat(name: str) -> str:
    """A module's name as it is compared: without dots, wrappers and the numbers of `to_out`."""
    plain = name.replace(".", "_").replace("_processor_", "_")
    plain = plain.removeprefix("text_model_")
    return re.sub(r"_to_out(_0)?$", "_to_out", plain)


def index(paths: Iterable[str]) -> Mapping[str, str]:
    """From every name that a file may use, flattened, to the module's own path."""
    names = list(paths)
    layers = layers_per_block(names)
    found = {flat(path): path for path in names}
    for path in names:
        for alias in original_names(path, layers):
            found.setdefault(flat(alias), path)
    return found


def layers_per_block(paths: Iterable[str]) -> int:
    """Resnets in a down block of this U-Net."""
    numbers = [
        int(path.split(".")[3]) for path in paths if path.startswith("down_blocks.0.resnets.")
    ]
    return max(numbers, default=1) + 1


def original_names(path: str, layers: int) -> Iterator[str]:
    """The names of a module in the original code; an upsampler has two, as its place depends on attention."""
    if path in _TOP:
        yield _TOP[path]
        return
    middle = _MIDDLE.fullmatch(path)
    if middle:
        place = {"resnets": 2 * int(middle[2]), "attentions": 1}[middle[1]]
        yield f"middle_block.{place}" + _inner(middle[1], middle[3])
        return
    found = _BLOCK.fullmatch(path)
    if not found:
        return
    side, block, kind, layer, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
    if side == "down_blocks":
        if kind == "downsamplers":
            yield f"input_blocks.{(block + 1) * (layers + 1)}.0.op"
            return
        place = 1 + block * (layers + 1) + layer
        yield f"input_blocks.{place}.{0 if kind == 'resnets' else 1}" + _inner(kind, rest)
        return
    if kind == "upsamplers":
        for sub in (1, 2):
            yield f"output_blocks.{block * (layers + 1) + layers}.{sub}.conv"
        return
    place = block * (layers + 1) + layer
    yield f"output_blocks.{place}.{0 if kind == 'resnets' else 1}" + _inner(kind, rest)


def _inner(kind: str, rest: str) -> str:
    name = rest.removeprefix(".")
    if kind == "resnets":
        name = _RESNET.get(name, name)
    return f".{name}" if name else ""
