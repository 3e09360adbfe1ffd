"""Every fault of an extension or of a LoRA, in a whole installation: what is said, and the next job is bit-equal.

The job before and the job after a fault are one request; their pixels are compared. Hangs need a process that can be
cut: `tests/services/test_watchdog.py` and `test_switches.py` have them.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from modules.app import build_studio
from modules.errors import ExtensionError, UserError
from modules.plugins.report import ACTIVE
from modules.schema import GenerationRequest, Job, JobState
from modules.services.front import Studio
from modules.settings import Settings
from tests.fixtures.tiny import make_tiny
from tests.plugins.write import write

PROJECT = Path(__file__).resolve().parents[2]
CARD = {"defaults": {"width": 64, "height": 64, "steps": 3, "cfg_scale": 2.0, "sampler": "euler"}}

PAGE = """
from modules.plugins import Options, hookimpl

class Own(Options):
    enabled: bool = False

class Extension:
    @hookimpl
    def register_options(self):
        return Own
"""
WORK = """
from contextlib import contextmanager

from modules.plugins import Finisher, hookimpl
from modules.plugins.adapters import Adapter

class Part(Adapter):
{part}

class Worker:
    @hookimpl
    def prepare_generation(self, request, options, parts):
        {prepare}
"""
FINISHES = """
    @hookimpl
    def register_finishers(self, request, options):
        class Last(Finisher):
            order = 0

            def finish(self, image, request, index, progress=None):
                {finish}
        return [Last()]
"""


def _part(name: str, does: str) -> str:
    return f"    def {name}(self, step):\n        {does}"


_ENTERS = """    @contextmanager
    def applied(self, parts):
        {first}
        yield
"""

IN_A_JOB: dict[str, tuple[dict[str, str], str]] = {
    # name: (what to fill into WORK or FINISHES, what is said)
    "raises_prepare": ({"prepare": "raise KeyError('down_blocks')"}, "KeyError"),
    "raises_enter": (
        {"part": _ENTERS.format(first="raise ValueError('no room')")},
        "ValueError: no room",
    ),
    "raises_step": (
        {"part": _part("before_model", "raise ZeroDivisionError('by zero')")},
        "ZeroDivisionError",
    ),
    "wrong_type": ({"prepare": "return 'an adapter'"}, "str"),
    "answers": ({"part": _part("after_step", "return 3")}, "int"),
    "reshapes": (
        {"part": _part("before_model", "step.latents = step.latents[..., :-1]")},
        "latents",
    ),
    "not_a_tensor": ({"part": _part("after_guidance", "step.denoised = None")}, "denoised"),
    "writes_request": (
        {"part": _part("before_model", "step.request.extras['raises_step'] = {'enabled': True}")},
        "changed the request",
    ),
    "leaves_change": (
        {"part": _ENTERS.format(first="next(parts.unet.parameters()).data.add_(1)")},
        "changed",
    ),
    "leaves_hook": (
        {"part": _ENTERS.format(first="parts.unet.register_forward_hook(lambda *all: None)")},
        "changed",
    ),
    "finisher_raises": ({"finish": "raise RuntimeError('no frame')"}, "RuntimeError: no frame"),
    "finisher_none": ({"finish": "return None"}, "NoneType"),
}
CHECK = """
    @hookimpl
    def check_request(self, request, options):
        {does}
"""
IN_A_CHECK = {"check_raises": "raise KeyError('no')", "check_answers": "return False"}
AT_LOADING: dict[str, tuple[str, str]] = {
    # name: (its plugin.py or its extension.toml, what its line says)
    "import_error": ("import not_there", "not_there"),
    "syntax_error": ("def :", "SyntaxError"),
    "no_class": ("", "Extension"),
    "bad_options": (PAGE.replace("return Own", "return dict"), "dict"),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A program with one extension for each fault, the LoRA extension, and LoRA files that are none."""
    root = tmp_path_factory.mktemp("faults")
    make_tiny(root / "models" / "checkpoints" / "tiny", preview=False, card=CARD)
    loras = root / "models" / "lora"
    loras.mkdir()
    wide = torch.zeros(4, 2048)
    sdxl = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"
    save_file(
        {
            f"{sdxl}.lora_down.weight": wide,
            f"{sdxl}.lora_up.weight": torch.zeros(640, 4),
            f"{sdxl}.alpha": torch.tensor(4.0),
        },
        loras / "other_family.safetensors",
    )
    (loras / "truncated.safetensors").write_bytes(
        (loras / "other_family.safetensors").read_bytes()[:-999]
    )
    (loras / "hostile.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{")
    (loras / "page.safetensors").write_text("<!doctype html><title>404</title>")
    extensions = root / "extensions"
    shutil.copytree(
        PROJECT / "extensions" / "lora", extensions / "lora", ignore=shutil.ignore_patterns("tests")
    )
    for name, (texts, _) in IN_A_JOB.items():
        work = WORK.format(
            part=texts.get("part", "    pass"),
            prepare=texts.get("prepare", "return None" if "finish" in texts else "return Part()"),
        )
        if "finish" in texts:
            work += FINISHES.format(finish=texts["finish"])
        write(extensions, name, PAGE, more='worker = "work:Worker"\n', work=work)
    for name, (code, _) in AT_LOADING.items():
        write(extensions, name, code)
    for name, does in IN_A_CHECK.items():
        write(extensions, name, PAGE + CHECK.format(does=does))
    write(extensions, "needs_more", PAGE, more='requires = ["a-package-that-nobody-has>=3"]\n')
    write(extensions, "wrong_manifest", PAGE, more='permissions = ["everything"]\n')
    studio = build_studio(
        Settings.load(
            {
                "data_dir": root / "data",
                "models_dir": root / "models",
                "extensions_dir": extensions,
            }
        ),
        in_process=True,
    )
    yield studio
    studio.close()


def done(studio: Studio, prompt: str = "a cat", **extras: Any) -> Job:
    request = GenerationRequest(prompt=prompt, seed=5, extras=extras)
    return studio.run(studio.submit(request).id)


def pixels(studio: Studio) -> bytes:
    """Of a job that asks no extension for anything."""
    from PIL import Image

    job = done(studio)
    assert job.state is JobState.DONE, job.error
    (picture,) = job.pictures
    with Image.open(studio.picture_file(picture.id)) as image:
        return image.tobytes()


@pytest.fixture(scope="module")
def before(studio: Studio) -> bytes:
    return pixels(studio)


@pytest.mark.parametrize("name", IN_A_JOB)
def test_a_job_fails_by_name_and_the_next_is_as_before(
    studio: Studio, before: bytes, name: str
) -> None:
    job = done(studio, **{name: {"enabled": True}})
    assert job.state is JobState.FAILED and job.error is not None
    error = UserError.from_dict(job.error)
    for language in ("en", "zh"):
        said = error.message(language)
        assert name in said
    assert IN_A_JOB[name][1] in error.message("en")
    assert pixels(studio) == before


@pytest.mark.parametrize("name", [*AT_LOADING, "needs_more", "wrong_manifest"])
def test_what_cannot_be_loaded_is_a_line_and_the_next_is_as_before(
    studio: Studio, before: bytes, name: str
) -> None:
    (report,) = [each for each in studio.extensions() if each.name == name]
    wanted = {
        "needs_more": "a-package-that-nobody-has",
        "wrong_manifest": "permissions",
        **{one: said for one, (_, said) in AT_LOADING.items()},
    }[name]
    assert report.state != ACTIVE and report.reason is not None
    assert wanted in f"{report.reason.message('en')} {report.traceback}"
    with pytest.raises(UserError, match=name):
        done(studio, **{name: {"enabled": True}})
    assert pixels(studio) == before


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a cat <lora:other_family:1>", "other_family"),
        ("a cat <lora:truncated:1>", "truncated"),
        ("a cat <lora:hostile:1>", "hostile"),
        ("a cat <lora:page:1>", "page"),
        ("a cat <lora:nowhere:1>", "nowhere"),
    ],
)
def test_a_lora_that_cannot_be_used_is_named_before_anything_is_queued(
    studio: Studio, before: bytes, prompt: str, said: str
) -> None:
    jobs = sum(studio.counts().values())
    with pytest.raises(UserError, match=said) as caught:
        done(studio, prompt)
    assert not isinstance(caught.value, ExtensionError)
    assert sum(studio.counts().values()) == jobs
    assert pixels(studio) == before


@pytest.mark.parametrize(
    ("name", "said"),
    [("check_raises", "check_raises failed: KeyError"), ("check_answers", "check_request")],
)
def test_a_fault_in_a_check_leaves_no_job_and_the_next_is_as_before(
    studio: Studio, before: bytes, name: str, said: str
) -> None:
    jobs = sum(studio.counts().values())
    with pytest.raises(ExtensionError, match=said) as caught:
        done(studio, **{name: {"enabled": True}})
    assert name in caught.value.message("zh")
    assert sum(studio.counts().values()) == jobs
    assert pixels(studio) == before
