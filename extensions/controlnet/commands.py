"""Commands for the terminal: run a preprocessor on a file, fetch the weights that one needs."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modules.plugins import Command, Host, problem

DETECT = Command(
    "detect",
    "Run a preprocessor on a picture",
    "对图片运行预处理器",
    usage="PREPROCESSOR PICTURE OUTPUT.png",
    run="commands:detect",
)
FETCH = Command(
    "fetch",
    "Fetch the weights that a preprocessor needs",
    "获取预处理器所需的权重",
    usage="PREPROCESSOR",
    run="commands:fetch",
)


def detect(words: Sequence[str], host: Host) -> str:
    """Write what a preprocessor makes of a picture.

    Raises:
        UserError: a word is missing, the picture cannot be read, or the preprocessor's weights are not here.
    """
    from .maps import made_of
    from .unit import Unit

    if len(words) != 3:
        raise problem(f"Usage: detect {DETECT.usage}", f"用法：detect {DETECT.usage}")
    name, source, target = words
    try:
        made = made_of(host, Unit(module=name), _read(Path(source)), (512, 512))
        made.save(target)
    except (OSError, SyntaxError, ValueError) as error:
        raise problem(
            f"{source} → {target}: {error}. Choose a picture that can be read and a file that "
            "can be written.",
            f"{source} → {target}：{error}。请选择可读取的图片与可写入的文件。",
        ) from error
    return f"{target}: {made.width} × {made.height}"


def fetch(words: Sequence[str], host: Host) -> str:
    """Fetch the weights of a preprocessor.

    Raises:
        UserError: it is unknown, or the files cannot be had.
    """
    from .fetching import Fetching
    from .modules_list import module_named

    if len(words) != 1:
        raise problem(f"Usage: fetch {FETCH.usage}", f"用法：fetch {FETCH.usage}")
    module = module_named(words[0])

    def told(share: float) -> None:
        sys.stderr.write(f"\r{share:4.0%}")
        sys.stderr.flush()

    got = Fetching(host).run(module, told)
    return ", ".join(got) or f"{module.name}: -"


def _read(path: Path) -> Any:
    from PIL import Image

    with Image.open(path) as image:
        image.load()
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
