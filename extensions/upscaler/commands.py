"""`noisette upscale FILE… --scale 2 --output FILE_OR_FOLDER`."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from modules.plugins import (
    Command,
    GenerationRequest,
    Host,
    Queue,
    UserError,
    problem,
)

from .options import UpscalerOptions

UPSCALE = Command(
    "upscale",
    "Enlarge pictures: files, or all pictures of a folder",
    "放大图片：单个或多个文件，或整个文件夹",
    usage=(
        "FILE_OR_FOLDER… [--scale 2 | --size WIDTHxHEIGHT [--no-crop]] [--upscaler NAME] [--upscaler-2 NAME --blend 0.5] "
        "[--denoise 0.5] [--sharpen 0.5] [--face NAME --face-amount 1] --output FILE_OR_FOLDER"
    ),
    run="commands:upscale",
    top=True,
)
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


class _Words(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise problem(
            f"{message}. It goes: noisette upscale {UPSCALE.usage}",
            f"{message}。用法：noisette upscale {UPSCALE.usage}",
        )


def upscale(words: Sequence[str], host: Host, queue: Queue) -> str:
    """Enlarge one picture after the other; the paths of the results, a line each.

    A picture that cannot be read is said at the end; the others are done.

    Raises:
        UserError: what is wrong with the words or a target; of one picture alone, what is wrong with it.
    """
    given = _parser().parse_args(list(words))
    values = _options(given)
    options = UpscalerOptions.model_validate({"enabled": True, **values})
    files = list(_files(given.pictures))
    many = len(files) > 1
    target = given.output
    if many and Path(target).suffix and not Path(target).is_dir():
        target += "/"
    queue.check_target(target)
    said, failed, taken = [], [], set()
    for file in files:
        try:
            data = file.read_bytes()
            request = GenerationRequest(
                postprocess=queue.keep(data, file.name),
                extras={host.name: options.model_dump(mode="json")},
            )
            (made,) = queue.run(request)
        except (UserError, OSError) as error:
            if not many:
                raise
            failed.append(f"{file}: {error}")
            continue
        stem, number = file.stem, 1
        while stem in taken:  # of two folders
            number += 1
            stem = f"{file.stem}-{number}"
        taken.add(stem)
        said.append(str(queue.save(made, target, stem)))
    if failed:
        lines = "\n".join(failed)
        done = "\n".join(said)
        raise problem(
            f"{len(failed)} of {len(files)} pictures were left out:\n{lines}\nDone:\n{done}",
            f"{len(files)} 张图片中有 {len(failed)} 张未处理：\n{lines}\n已完成：\n{done}",
        )
    return "\n".join(said)


def _parser() -> argparse.ArgumentParser:
    parser = _Words("noisette upscale", add_help=False, allow_abbrev=False)
    parser.add_argument("pictures", nargs="+", type=Path)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--scale", type=float)
    size.add_argument("--size")
    parser.add_argument("--no-crop", action="store_false", dest="crop", default=None)
    parser.add_argument("--upscaler")
    parser.add_argument("--upscaler-2", dest="upscaler_2")
    parser.add_argument("--blend", type=float)
    parser.add_argument("--denoise", type=float)
    parser.add_argument("--sharpen", type=float)
    parser.add_argument("--face")
    parser.add_argument("--face-amount", type=float, dest="face_amount")
    parser.add_argument("--output", required=True)
    return parser


def _options(given: argparse.Namespace) -> dict[str, Any]:
    """The options as their fields, looked at one by one so that what is wrong is named."""
    plain = {name: value for name, value in vars(given).items() if value is not None}
    values: dict[str, Any] = {
        name: plain[name] for name in UpscalerOptions.model_fields if name in plain
    }
    if given.size is not None:
        wide, _, high = given.size.lower().partition("x")
        if not (wide.isdecimal() and high.isdecimal()):
            raise problem(
                f"--size {given.size}: write it as 1024x768.",
                f"--size {given.size}：请写成 1024x768。",
            )
        values |= {"mode": "to", "width": int(wide), "height": int(high)}
    for name, value in values.items():
        bounds = UpscalerOptions.model_fields[name].metadata
        low = next((each.ge for each in bounds if hasattr(each, "ge")), None)
        high = next((each.le for each in bounds if hasattr(each, "le")), None)
        if low is not None and high is not None and not float(low) <= float(value) <= float(high):
            option = "--" + name.replace("_", "-")
            raise problem(
                f"{option} {value}: give something from {low} to {high}.",
                f"{option} {value}：请给出 {low} 到 {high} 之间的值。",
            )
    return values


def _files(given: Sequence[Path]) -> Iterator[Path]:
    """The pictures that are meant, those of a folder in order.

    Raises:
        UserError: there is no such file or folder, or no picture in it.
    """
    for path in given:
        path = path.expanduser()
        if path.is_dir():
            found = sorted(
                each
                for each in path.iterdir()
                if each.suffix.lower() in SUFFIXES and each.is_file()
            )
            if not found:
                raise problem(f"There is no picture in {path}.", f"{path} 中没有图片。")
            yield from found
        elif path.is_file():
            yield path
        else:
            raise problem(f"There is no file {path}.", f"文件 {path} 不存在。")
