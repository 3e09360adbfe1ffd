"""The program as people start it, with the model that ships: page, worker process, weights, files."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import PROJECT, Server, Visit, ready

MODEL = PROJECT / "models" / "checkpoints" / "pocket" / "unet"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not MODEL.is_dir(), reason="the model that ships is not here"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("程序 program")
    command = [sys.executable, "webui.py", "serve", "--no-open", "--port", "{port}"]
    server = Server([*command, "--data-dir", str(folder)], folder)
    server.start()
    yield server
    server.stop()


def test_from_words_to_a_file_on_disk(program: Server, visit: Callable[..., Visit]):
    seen = visit(url=program.url)
    page = seen.page
    expect(page.locator(".nz-chip").first).to_be_visible()
    seen.shot("program-empty")
    seen.generate("a rocket on a blue background")
    # As soon as there is a job: with the model loaded, it is over within a second.
    while not seen.state().get("job"):
        page.wait_for_timeout(50)
    number = seen.state()["job"]["id"]
    page.reload()  # in the middle
    ready(page)
    page.locator("#nz-canvas[data-kind=picture] .nz-result").wait_for(timeout=120_000)
    seen.shot("program-done")
    assert seen.state()["job"]["id"] == number
    files = list((program.folder / "outputs").rglob("*.png"))
    assert len(files) == 1
    with Image.open(files[0]) as image:
        assert image.size == (128, 128)
        assert "a rocket on a blue background" in image.text["parameters"]
        shown = page.locator(".nz-details pre").text_content()
        assert image.text["parameters"] == shown
        red, _, blue = image.convert("RGB").getpixel((4, 4))
        assert blue > red
    assert seen.errors == []


def test_a_file_is_enlarged_and_compared_with_what_it_was(
    program: Server, visit: Callable[..., Visit], tmp_path: Path
):
    small = tmp_path / "small.png"
    Image.radial_gradient("L").resize((48, 40)).convert("RGB").save(small)
    seen = visit(url=program.url)
    page = seen.page
    page.get_by_role("tab", name="Upscale", exact=True).click()
    tab = page.locator(".upscale-tab")
    tab.locator("input[type=file]").first.set_input_files([small, PROJECT / "README.md"])
    expect(tab.locator(".upscale-list li")).to_have_count(1)
    tab.get_by_role("button", name="Upscale", exact=True).click()
    tab.locator(".upscale-view img").first.wait_for(timeout=120_000)
    page.wait_for_timeout(300)
    seen.shot("program-upscale")
    with page.expect_download() as taken:
        tab.locator(".upscale-download").click()
    with Image.open(taken.value.path()) as image:
        assert image.size == (96, 80)
        assert "Postprocess upscale by: 2" in image.text["parameters"]
    assert seen.errors == []


def test_the_page_process_is_light(program: Server):
    """The models live in the worker's process; the page's has neither torch nor its weight."""
    assert program.process is not None
    process = psutil.Process(program.process.pid)
    assert process.memory_info().rss < 400 * 2**20
    maps = Path(f"/proc/{process.pid}/maps")
    if maps.exists():
        assert "libtorch" not in maps.read_text()
    assert process.children()
