"""A grid on the real program: it fills as it goes, survives a restart in the middle, and gives its settings back."""

import sys
from collections.abc import Callable, Iterator

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.conftest import PROJECT, Server, Visit, ready, wait_until

MODEL = PROJECT / "models" / "checkpoints" / "pocket" / "unet"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not MODEL.is_dir(), reason="the model that ships is not here"),
]
CELL = "#nz-cells .nz-cells-cell"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("grid")
    command = [sys.executable, "webui.py", "serve", "--no-open", "--port", "{port}"]
    server = Server([*command, "--data-dir", str(folder)], folder)
    server.start()
    yield server
    server.stop()


def fill_in(page: Page, **axes: tuple[str, str]) -> None:
    panel = page.locator("#nz-panel-grid")
    if not panel.get_by_label("Make a grid").is_visible():
        panel.locator("button").first.click()
    panel.get_by_label("Make a grid").check()
    for letter, (title, values) in axes.items():
        field = panel.locator(f".grid-{letter} input")
        field.fill(title)
        field.press("Enter")
        panel.locator(f".grid-{letter}-values textarea").fill(values)


@pytest.mark.timeout(900)  # four real pictures and two starts, on however slow a machine
def test_a_grid_goes_on_after_a_restart_and_fills_the_fields(
    program: Server, visit: Callable[..., Visit]
):
    seen = visit(url=program.url)
    page = seen.page
    fill_in(page, x=("Steps", "30, 31"), y=("CFG scale", "2, SKIP: 3, 4"))
    seen.generate("a red apple")
    page.locator(CELL).first.wait_for(timeout=240_000)  # and the others wait
    expect(page.locator("#nz-cells th")).to_have_text(
        ["Steps 30", "Steps 31", "CFG scale 2", "CFG scale 4"]
    )
    before = sorted((program.folder / "outputs").rglob("*.png"))
    written = {path: path.stat().st_mtime_ns for path in before}
    port = program.port
    assert program.process is not None
    program.process.kill()  # as a power cut would
    program.process.wait()
    assert program.process.stdout is not None
    program.process.stdout.close()
    program.start(port)
    wait_until(lambda: page.locator(CELL).count() == 4, 300)
    wait_until(lambda: len(list((program.folder / "outputs").rglob("*.png"))) == 5)
    after = sorted((program.folder / "outputs").rglob("*.png"))
    assert all(path.stat().st_mtime_ns == when for path, when in written.items())
    with Image.open(after[-1]) as sheet:
        assert sheet.width > 2 * 128 and sheet.height > 2 * 128
        assert "grid x values" in sheet.text["parameters"]
    ready(page)
    expect(page.locator("#nz-canvas")).to_have_attribute("data-kind", "picture")
    seen.shot("grid-done")
    page.locator("#nz-sampling button.label-wrap").click()
    page.locator("#nz-panel-grid button").first.click()
    expect(page.get_by_label("Make a grid")).to_be_checked()  # as it was typed
    page.get_by_label("Fill the fields from Steps 31, CFG scale 4").click()
    expect(page.get_by_label("Steps", exact=True).first).to_have_value("31")
    expect(page.get_by_label("CFG scale", exact=True).first).to_have_value("4")
    expect(page.get_by_label("Make a grid")).not_to_be_checked()


def test_what_is_wrong_is_said_before_anything_runs(program: Server, visit: Callable[..., Visit]):
    seen = visit(url=program.url)
    fill_in(seen.page, x=("Steps", "1-10"), y=("CFG scale", "1-10"), z=("Seed", "1-10"))
    seen.generate("a red apple")
    notice = seen.page.locator("#nz-notice")
    expect(notice).to_contain_text("10 × 10 × 10 is 1000 cells; one grid has at most 256")
    fill_in(seen.page, x=("Sampler", "euler, eulr"))
    panel = seen.page.locator("#nz-panel-grid")
    for letter in "yz":
        panel.locator(f".grid-{letter} input").fill("Nothing")
        panel.locator(f".grid-{letter} input").press("Enter")
        panel.locator(f".grid-{letter}-values textarea").fill("")
    seen.page.locator("#nz-generate").click()
    expect(notice).to_contain_text("Sampler eulr")
    assert seen.state().get("job") is None
    assert seen.errors == []


def test_in_chinese_at_phone_width_nothing_is_cut_off(program: Server, visit: Callable[..., Visit]):
    seen = visit(url=program.url, width=390, height=844, locale="zh-CN", color_scheme="dark")
    panel = seen.page.locator("#nz-panel-grid")
    panel.locator("button").first.click()
    expect(panel.get_by_label("生成网格")).to_be_visible()
    panel.get_by_label("提示词矩阵").check()
    expect(panel.get_by_text("矩阵所在")).to_be_visible()
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
    seen.shot("grid-390-dark")
