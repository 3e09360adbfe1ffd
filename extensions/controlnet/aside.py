"""A preprocessor that needs weights, run in a process of its own: the page's process loads no torch."""

import inspect
import json
import os
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from modules.plugins import Host, problem

from .preprocess import Array

SECONDS = 180
_START = """
import json, sys
given = json.loads(sys.argv[1])
sys.path[:0] = given["path"]
from importlib import import_module
import_module(given["module"]).main(given)
"""


def detect_aside(host: Host, name: str, pixels: Array, numbers: list[float]) -> Array:
    """As `detectors.detect`, from a process that ends with its work.

    Raises:
        UserError: the weights cannot be read, or it took too long.
    """
    import numpy as np
    from PIL import Image

    root = host.folder.parent.parent
    program = Path(inspect.getfile(Host)).resolve().parents[2]
    with tempfile.TemporaryDirectory(prefix="noisette-detect-") as place:
        source, target = Path(place) / "in.png", Path(place) / "out.png"
        Image.fromarray(pixels).save(source, compress_level=1)
        given = {
            "path": [str(root), str(program)],
            "module": f"{host.folder.parent.name}.{host.folder.name}.aside",
            "models": str(host.models),
            "name": name,
            "numbers": numbers,
            "source": str(source),
            "target": str(target),
        }
        try:
            run = subprocess.run(
                [sys.executable, "-c", _START, json.dumps(given)],
                capture_output=True,
                text=True,
                timeout=SECONDS,
                env={**os.environ, "PYTHONWARNINGS": "ignore"},
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise problem(
                f"The preprocessor {name} took longer than {SECONDS} seconds. Try a smaller picture.",
                f"预处理器 {name} 用时超过 {SECONDS} 秒。请换用较小的图片。",
            ) from error
        if run.returncode or not target.is_file():
            why = (run.stderr.strip().splitlines() or ["-"])[-1][:300]
            raise problem(
                f"The preprocessor {name} failed: {why}. Fetch its weights again, or choose another.",
                f"预处理器 {name} 失败：{why}。请重新获取其权重，或选择其他预处理器。",
            )
        with Image.open(target) as image:
            return np.asarray(image.convert("RGB"))


def main(given: dict[str, object]) -> None:
    """What the other process runs."""
    import numpy as np
    from PIL import Image

    here = __name__.rpartition(".")[0]
    module = import_module(f"{here}.modules_list").module_named(given["name"])
    host = Host("controlnet", Path(__file__).parent, Path(str(given["models"])), Path())
    pixels = np.asarray(Image.open(str(given["source"])).convert("RGB"))
    made = import_module(f"{here}.detectors").detect(host, module, pixels, given["numbers"])
    Image.fromarray(made).save(str(given["target"]))
