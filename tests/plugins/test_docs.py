"""The guide is true: its extensions are built from its code blocks and used, hook by hook."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from modules.errors import ExtensionError, UserError
from modules.plugins import Finished, GenerationRequest
from modules.plugins.bench import Bench
from modules.plugins.conformance import check
from modules.plugins.hookspecs import PAGE_HOOKS, WORKER_HOOKS
from modules.plugins.solvers import Ask, SamplerOptions

DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDES = ("extensions.md", "extensions.zh-CN.md")
MANIFEST = """
name = "hooks"
title = "Hooks"
title_zh = "钩子"
version = "0.1.0"
noisette = ">=0.1"
plugin = "plugin:Page"
worker = "work:Worker"
"""
BLOCK = re.compile(r"^```(?:python|toml)\n# (\w+)/([\w/.]+)(?: \+(\w+))?\n(.*?)^```$", re.S | re.M)


def fences(guide: str) -> list[str]:
    return re.findall(r"^```.*?^```$", (DOCS / guide).read_text(encoding="utf-8"), re.S | re.M)


def parted(code: str) -> tuple[str, str]:
    """What stands before a class, and the methods for it: the indented end of a block, less what belongs to another."""
    lines = code.splitlines()
    start = 1 + max((i for i, line in enumerate(lines) if line and line[0] != " "), default=-1)
    if start and lines[start - 1].endswith(
        ":"
    ):  # the end of another class or function: up to the first hook
        start = lines.index("    @hookimpl", start)
    return "\n".join(lines[:start]).rstrip("\n"), "\n".join(lines[start:]).strip("\n") + "\n"


def write(folder: Path, guide: str) -> None:
    """Each block into its file; one with `+Class` adds to a class: its end from the first hook on, the rest goes before."""
    files: dict[str, str] = {"hooks/extension.toml": MANIFEST}
    for extension, file, target, code in BLOCK.findall((DOCS / guide).read_text(encoding="utf-8")):
        path = f"{extension}/{file}"
        if not target:
            files[path] = code
            continue
        before, methods = parted(code)
        head, mark, body = files[path].partition(f"class {target}:\n")
        assert mark, f"{path} has no class {target} yet"
        files[path] = f"{head}{before}\n\n\n{mark}{body}\n{methods}"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guide")
    write(folder, GUIDES[0])
    return folder


@pytest.fixture(scope="module")
def bench(folder: Path) -> Iterator[Bench]:
    made = Bench(folder / "hooks")
    assert made.active, str(made.plugins.reports[0].reason)
    yield made
    made.close()


def test_both_languages_have_the_same_code() -> None:
    assert fences(GUIDES[0]) == fences(GUIDES[1])


@pytest.mark.parametrize("guide", GUIDES)
@pytest.mark.parametrize("hook", [*PAGE_HOOKS, *WORKER_HOOKS])
def test_every_hook_has_a_heading(hook: str, guide: str) -> None:
    assert f"### `{hook}`\n" in (DOCS / guide).read_text(encoding="utf-8")


def test_the_example_has_every_hook(bench: Bench) -> None:
    (report,) = bench.plugins.reports
    assert report.hooks == (*PAGE_HOOKS, *WORKER_HOOKS)


def test_options_panels_and_axes(bench: Bench) -> None:
    plugins = bench.plugins
    assert list(plugins.options["hooks"].model_fields) == ["enabled", "strength", "mode", "words"]
    assert [panel.panel.build for panel in plugins.panels("img2img")] == ["panel:build"]
    axes = {axis.name: axis for axis in plugins.axes()}
    assert axes.keys() == {"hooks.strength", "hooks.mode", "hooks.words", "hooks.word"}
    request = GenerationRequest(prompt="a cat")
    assert axes["hooks.word"].apply(request, "red").prompt == "a cat, red"
    changed = axes["hooks.strength"].apply(request, 1.5)
    assert changed.extras == {"hooks": {"enabled": True, "strength": 1.5}}
    assert (axes["hooks.strength"].least, axes["hooks.strength"].most) == (0, 2)
    assert axes["hooks.mode"].choices == ("soft", "hard")


def test_kinds_upscalers_and_events(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "curves" / "soft").mkdir(parents=True)
    (tmp_path / "curves" / "soft" / "s.json").write_text("{}")
    kind = bench.plugins.model_kinds()["curves"]
    assert kind.files(tmp_path) == {"soft/s": tmp_path / "curves" / "soft" / "s.json"}
    upscaler = bench.plugins.upscaling()["Hooks blocky"]
    found = upscaler.upscale(Image.new("RGB", (8, 8)), 20, 12, lambda: None)
    assert found.size == (20, 12)
    bench.plugins.publish(Finished(job_id=5))
    warnings = [warning.key for warning in bench.plugins.reports[0].warnings]
    assert not [key for key in warnings if key.startswith("extension.warning.event")]


def test_tags_buttons_and_commands(bench: Bench) -> None:
    request = bench.plugins.check(GenerationRequest(prompt="a cat <hooks:x>", seed=1))
    assert request.extras["hooks"]["enabled"] is True
    (action,) = bench.plugins.panels("txt2img")[0].panel.actions
    planned = bench.plugins.plan("hooks", action, request)
    assert [(each.labels, each.request.steps) for each in planned] == [
        (("4 steps",), 4), (("12 steps",), 12),
    ]  # fmt: skip
    (command,) = bench.plugins.commands("hooks")
    assert bench.plugins.run_command("hooks", command, ["you"]) == "hooks: hello you"


def test_the_example_reads_parameters(bench: Bench):
    read = bench.plugins.read_parameters
    options = {"enabled": True, "strength": 1.5, "mode": "hard", "words": "a, b"}
    text = {"Hooks curve": "hard; a, b", "hooks strength": "1.5", "Else": "7"}
    assert read(text) == ({"hooks": options}, {"Hooks curve", "hooks strength"})
    assert read({"Hooks curve": "medium; a", "hooks strength": "9"}) == ({}, set())
    assert read({"Else": "7"}) == ({}, set())


@pytest.mark.parametrize("seed, word", [(6, "red"), (7, "blue")])
def test_the_example_writes_prompts(bench: Bench, seed: int, word: str):
    request = bench.request({"words": "red|blue"}, prompt="a cat", seed=seed)
    written = bench.plugins.rewritten(request, 0)
    assert (written.prompt, written.extras) == (f"a cat, {word}", {})


def test_the_example_lays_out_a_grid(bench: Bench):
    request = bench.request({"words": "red/blue"}, prompt="a cat", seed=1)
    assert bench.plugins.lays_out(request)
    layout = bench.plugins.lay_out(request, (), 9)
    assert layout is not None and layout.x.labels == ("red", "blue")
    assert [cell.request.prompt for cell in layout.cells] == ["a cat, red", "a cat, blue"]
    assert [cell.request.extras for cell in layout.cells] == [{}, {}]
    assert bench.plugins.lay_out(bench.request({"words": "red"}), (), 9) is None
    assert not bench.plugins.lays_out(request.replace(extras={}))


def test_the_example_refuses_a_request(bench: Bench):
    request = bench.request({"strength": 1.5})
    bench.plugins.check_request(request, "sd1")
    with pytest.raises(UserError, match="SDXL takes strengths up to 1 alone") as caught:
        bench.plugins.check_request(request, "sdxl")
    assert not isinstance(caught.value, ExtensionError)
    bench.plugins.check_request(bench.request({"strength": 0.5}), "sdxl")


def test_the_sampler(bench: Bench) -> None:
    (row,) = bench.plugins.samplers()
    run = row.solver(7.0, [4.0, 2.0, 0.0], SamplerOptions(), lambda *_: 0.0)
    event = next(run)
    with pytest.raises(StopIteration):
        while True:
            event = run.send(3.0 if isinstance(event, Ask) else event.x)
            x = event.x
    assert x == pytest.approx(3.0)


def test_the_routes(bench: Bench) -> None:
    from fastapi import FastAPI
    from starlette.testclient import TestClient

    from modules.api.extensions import mount_own_routes

    app = FastAPI()
    mount_own_routes(app, bench.plugins)
    assert TestClient(app).get("/extensions/hooks/double/4").json() == {"double": 8}


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", ["glow", "hooks"])
def test_the_examples_hold_what_extensions_have_to(folder: Path, name: str) -> None:
    bad = [finding for finding in check(folder / name) if not finding.good]
    assert [finding for finding in bad if finding.check != "words"] == []


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_example_does_what_it_says(bench: Bench) -> None:
    plain = bench.picture().tobytes()
    with bench.unchanged():
        assert bench.picture({"strength": 1.2}).tobytes() != plain
        bench.cancelled({"strength": 1.2})
    soft, hard = (bench.picture({"mode": mode}).tobytes() for mode in ("soft", "hard"))
    assert soft == plain
    assert hard == bytes(255 - value for value in plain)
