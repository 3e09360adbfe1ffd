"""The pictures of docs/tour.md, made by the program itself: python tools/screenshots.py [NAME …]

It starts the program on an empty data folder with the shipped model, works in a real Chromium as a visitor would, and
writes PNG files into docs/screenshots. With names (`inpaint`, `queue` …) only those scenes are made.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
OUT = PROJECT / "docs" / "screenshots"
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
CHROMIUM = next(
    (path for path in ("/usr/bin/chromium", "/usr/bin/google-chrome") if Path(path).exists()), None
)
PROMPT = "a rainbow on an orange background"
LOADED = (
    "[...document.images].filter((one) => one.checkVisibility() && one.loading !== 'lazy')"
    ".every((one) => one.complete)"
)
MORE = (
    "a cat on a blue background",
    "a pear on a red background",
    "a snowman on a blue background",
)
WAIT = 240_000
NEWEST = (
    "fetch('./ui/lists').then((r) => r.json())"
    ".then((all) => Math.max(0, ...[...all.active, ...all.past].map((job) => job.id)))"
)
"""The number of the newest job."""


@dataclass
class Studio:
    """One visitor's window, and how new ones are opened on the same program."""

    page: Page
    browser: Browser
    url: str
    folder: Path

    def shoot(self, name: str, page: Page | None = None) -> None:
        page = page or self.page
        page.mouse.move(2, 2)
        page.wait_for_function(LOADED)
        page.wait_for_timeout(400)
        page.screenshot(path=OUT / f"{name}.png")
        print(name, flush=True)

    def generate(self, prompt: str, *, tab: str = "", wait: bool = True) -> None:
        box = self.page.locator(f"#nz-{tab}prompt textarea")
        box.fill(prompt)
        box.blur()
        if wait:
            before = self.page.evaluate(NEWEST)
            self.page.locator(f"#nz-{tab}generate").click()
            self.until(f"(n) => ({NEWEST}).then((now) => now > n)", before)
            self.idle()
        else:
            self.page.locator(f"#nz-{tab}generate").click()

    def until(self, condition: str, argument: object = None) -> None:
        """Wait for what a function of the page promises; waiting in the page itself does not wait for promises."""
        end = time.monotonic() + WAIT / 1000
        while not self.page.evaluate(condition, argument):
            if time.monotonic() > end:
                raise TimeoutError(condition)
            self.page.wait_for_timeout(200)

    def idle(self) -> None:
        """Until nothing waits and nothing runs, by the program's own word, and the page shows it."""
        self.until(
            "() => fetch('./ui/lists').then((r) => r.json()).then((all) => !all.active.length)"
        )
        self.page.wait_for_function("!document.body.classList.contains('nz-busy')", timeout=WAIT)

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name, exact=True).click()

    def fold(self, element: str, *, opened: bool) -> None:
        """Open or close a group at the side."""
        button = self.page.locator(f"#nz-{element} > button.label-wrap")
        if ("open" in (button.get_attribute("class") or "").split()) != opened:
            button.click()
        self.page.wait_for_timeout(300)

    def number(self, element: str, value: str) -> None:
        field = self.page.locator(f"#nz-{element} input").first
        field.fill(value)
        field.press("Tab")

    def mode(self, name: str) -> None:
        self.page.locator(f'#nz-img2img-mode input[value="{name}"]').check()

    def send(self, place: str) -> None:
        """The picture that shows, to img2img."""
        canvas = self.page.locator(".nz-result:visible")
        canvas.locator(".nz-menu summary").click()
        canvas.locator(".nz-menu-list").get_by_text(place, exact=True).click()
        self.page.locator(".nz-sheet img").wait_for()

    def stroke(self, *points: tuple[float, float]) -> None:
        """Paint from point to point, each a share of the picture's sides."""
        box = self.page.locator(".nz-sheet canvas").bounding_box()
        assert box is not None
        at = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in points]
        self.page.mouse.move(*at[0])
        self.page.mouse.down()
        for one in at[1:]:
            self.page.mouse.move(*one, steps=6)
        self.page.mouse.up()

    def brush(self, size: int) -> None:
        """Pixels of the picture."""
        self.page.locator(".nz-tools input[type=range]").fill(str(size))

    def newest(self) -> Path:
        files = (self.folder / "outputs").rglob("*.png")
        return max(files, key=lambda file: file.stat().st_mtime)


def empty(studio: Studio) -> None:
    studio.shoot("empty-1440-light")


def running(studio: Studio) -> None:
    page = studio.page
    for prompt in MORE:
        studio.generate(prompt)
    studio.fold("sampling", opened=True)
    studio.number("steps", "80")
    studio.generate(PROMPT, wait=False)
    page.wait_for_function(
        "document.querySelector('#nz-canvas .nz-preview')?.naturalWidth > 0 &&"
        " parseFloat(document.querySelector('#nz-canvas .nz-fill').style.width) > 40",
        timeout=WAIT,
    )
    page.screenshot(path=OUT / "running-1440-light.png")
    print("running-1440-light", flush=True)
    studio.idle()
    studio.number("steps", "20")
    studio.fold("sampling", opened=False)


def txt2img(studio: Studio) -> None:
    studio.number("seed", "1")
    studio.generate(PROMPT)
    studio.shoot("txt2img-1440-light")
    seats = (
        ("txt2img-1440-dark", 1440, 900, "dark", "en-US"),
        ("txt2img-1440-zh", 1440, 900, "light", "zh-CN"),
        ("txt2img-1024-light", 1024, 768, "light", "en-US"),
        ("txt2img-390-light", 390, 844, "light", "en-US"),
    )
    studio.page.wait_for_timeout(1500)  # the draft is stored a moment after typing
    state = studio.page.context.storage_state()
    for name, width, height, scheme, locale in seats:
        context = studio.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            locale=locale,
            storage_state=state,
        )
        page = visit(context.new_page(), studio.url)
        page.locator("#nz-canvas .nz-result img").wait_for()
        studio.shoot(name, page)
        context.close()


def hires(studio: Studio) -> None:
    studio.fold("hires", opened=True)
    studio.page.locator("#nz-hires-enabled input").check()
    studio.page.locator("#nz-hires-upscaler input").click()
    studio.page.get_by_role("option", name="Lanczos").click()
    studio.number("hires-denoise", "0.4")
    studio.number("seed", "1")
    studio.generate(PROMPT)
    studio.page.locator("#nz-hires").evaluate("(node) => node.scrollIntoView()")
    studio.shoot("hires-1440-light")
    studio.page.locator("#nz-hires-enabled input").uncheck()
    studio.fold("hires", opened=False)


def img2img(studio: Studio) -> None:
    studio.generate(MORE[1])
    studio.send("img2img")
    studio.number("img2img-denoise", "0.7")
    studio.generate("an apple on a red background", tab="img2img-")
    studio.shoot("img2img-1440-light")


def inpaint(studio: Studio) -> None:
    studio.tab("img2img")
    studio.mode("inpaint")
    studio.page.locator(".nz-sheet canvas").wait_for()
    studio.brush(46)
    studio.stroke((0.35, 0.35), (0.65, 0.35), (0.35, 0.62), (0.68, 0.62), (0.5, 0.75))
    studio.number("img2img-denoise", "0.95")
    studio.generate("an apple on a red background", tab="img2img-")
    studio.shoot("inpaint-1440-light")


def sketch(studio: Studio) -> None:
    studio.tab("img2img")
    studio.mode("inpaint_sketch")
    studio.page.locator("[data-colour='#f1c40f']").click()
    studio.brush(30)
    studio.stroke((0.82, 0.25))
    studio.number("img2img-denoise", "0.6")
    studio.generate("a sun on a red background", tab="img2img-")
    studio.shoot("sketch-1440-light")


def outpaint(studio: Studio) -> None:
    studio.tab("img2img")
    studio.mode("outpaint")
    studio.number("img2img-denoise", "0.9")
    studio.number("img2img-out-left", "32")
    studio.number("img2img-out-right", "32")
    studio.generate("a pear on a red background", tab="img2img-")
    studio.shoot("outpaint-1440-light")


def batch(studio: Studio) -> None:
    studio.tab("img2img")
    studio.mode("batch")
    files = sorted((studio.folder / "outputs").rglob("*.png"))[:4]
    studio.page.locator(".nz-batch[data-kind=images] input[type=file]").set_input_files(files)
    expect(studio.page.locator(".nz-batch[data-kind=images] li")).to_have_count(len(files))
    studio.generate("a snowman on a blue background", tab="img2img-")
    studio.shoot("batch-1440-light")
    studio.mode("img2img")


def info(studio: Studio) -> None:
    studio.tab("PNG info")
    studio.page.locator("#nz-info input[type=file]").set_input_files(studio.newest())
    studio.page.locator(".nz-table").wait_for()
    studio.shoot("pnginfo-1440-light")


def queue(studio: Studio) -> None:
    """One at work, two waiting."""
    page = studio.page
    studio.tab("txt2img")
    studio.fold("sampling", opened=True)
    studio.number("steps", "120")
    for count, prompt in enumerate((PROMPT, *MORE[:2]), start=1):
        studio.generate(prompt, wait=False)
        page.wait_for_function(
            "(n) => fetch('./ui/state').then((r) => r.json()).then((s) => s.running + s.queued >= n)",
            arg=count,
        )
    studio.tab("Queue")
    page.wait_for_function(
        "parseFloat(document.querySelector('#nz-jobs .nz-fill')?.style.width) > 20", timeout=WAIT
    )
    studio.shoot("queue-1440-light")
    for cancel in page.locator("#nz-jobs .nz-row[data-state=queued] button").all()[::-1]:
        cancel.click()
    page.locator("#nz-jobs .nz-row[data-state=running] button").click()
    studio.idle()
    studio.tab("txt2img")
    studio.number("steps", "20")


def extensions(studio: Studio) -> None:
    studio.tab("Extensions")
    studio.page.locator("#nz-extension-list .nz-row").first.wait_for()
    studio.shoot("extensions-1440-light")


def upscale(studio: Studio) -> None:
    """A picture, four times as large, against what it was."""
    page = studio.page
    studio.tab("txt2img")
    studio.generate("a snowman on a blue background")
    studio.tab("Upscale")
    tab = page.locator(".upscale-tab")
    tab.get_by_role("button", name="Take the newest picture").click()
    tab.locator(".upscale-list li").wait_for()
    tab.get_by_role("spinbutton").first.fill("4")
    tab.get_by_role("button", name="Upscale", exact=True).click()
    tab.locator(".upscale-view img").first.wait_for(timeout=WAIT)
    studio.shoot("upscale-1440-light")


def mixer(studio: Studio) -> None:
    """Two styles mixed, their receipt, and a strip over weights."""
    page = studio.page
    studio.tab("txt2img")
    studio.number("seed", "2")
    studio.generate("a castle on a blue background <lora:ink_outline:0.7> <lora:watercolour:0.6>")
    studio.fold("panel-lora", opened=True)
    panel = page.locator("#nz-panel-lora")
    expect(panel.locator(".lora-row")).to_have_count(2)
    before = page.evaluate(NEWEST)
    panel.get_by_role("button", name="Strip").click()
    studio.until(f"(n) => ({NEWEST}).then((now) => now >= n + 5)", before)
    studio.idle()
    panel.evaluate("(node) => node.scrollIntoView()")
    studio.shoot("mixer-1440-light")
    page.wait_for_timeout(1500)  # the draft is stored a moment after typing
    context = studio.browser.new_context(
        viewport={"width": 390, "height": 844},
        locale="en-US",
        storage_state=page.context.storage_state(),
    )
    small = visit(context.new_page(), studio.url)
    small.locator("#nz-panel-lora > button.label-wrap").click()
    expect(small.locator("#nz-panel-lora .lora-row")).to_have_count(2)
    small.locator("#nz-panel-lora").evaluate("(node) => node.scrollIntoView()")
    studio.shoot("mixer-390-light", small)
    context.close()
    studio.fold("panel-lora", opened=False)
    details = page.locator(".nz-result:visible .nz-details")
    details.locator("summary").click()
    details.locator(".nz-receipt").first.wait_for()
    details.locator(".nz-receipt").first.evaluate(
        "(node) => node.scrollIntoView({ block: 'center' })"
    )
    studio.shoot("receipt-1440-light")


def styles(studio: Studio) -> None:
    studio.tab("Styles")
    tab = studio.page.locator(".styles-tab")
    tab.get_by_role("button", name="Oil painting", exact=True).first.wait_for()
    tab.get_by_role("button", name="Oil painting", exact=True).first.click()
    studio.shoot("styles-1440-light")


def wildcards(studio: Studio) -> None:
    studio.tab("Wildcards")
    place = studio.page.locator("#nz-tab-wildcards")
    place.get_by_label("List").click()
    studio.page.get_by_role("option", name="animals", exact=True).click()
    place.get_by_role("button", name="Show what comes out").click()
    place.get_by_role("gridcell").first.wait_for()
    studio.shoot("wildcards-1440-light")


SCENES: tuple[Callable[[Studio], None], ...] = (
    empty, running, txt2img, hires, img2img, inpaint, sketch, outpaint, batch, info, queue, extensions,
    styles, wildcards, mixer, upscale,
)  # fmt: skip
NEEDS = {
    "batch": "img2img",
    "inpaint": "img2img",
    "sketch": "img2img",
    "outpaint": "img2img",
    "info": "img2img",
}
"""Scenes that go on with what an earlier one left."""


def visit(page: Page, url: str) -> Page:
    page.set_default_timeout(60_000)
    page.goto(url)
    page.wait_for_function("document.querySelector('#nz-canvas')?.dataset.kind")
    page.wait_for_function("document.querySelector('#nz-model-info p')")
    page.wait_for_timeout(1000)
    return page


@contextmanager
def program(folder: Path) -> Iterator[str]:
    """The address of the program, running on an empty data folder."""
    command = (sys.executable, "webui.py", "serve", "--no-open", "--port", "0", "--data-dir")
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            (*command, str(folder)), cwd=PROJECT, stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        assert process.stdout is not None
        found = (re.search(r"http://[\w.]+:\d+/", line) for line in process.stdout)
        address = next((one.group() for one in found if one), "")
        if not address:
            raise RuntimeError((folder / "server.log").read_text())
        yield address
    finally:
        process.terminate()
        process.wait(20)


def main(wanted: list[str]) -> None:
    wanted = [*wanted, *(NEEDS[name] for name in wanted if name in NEEDS)]
    OUT.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as name,
        program(Path(name)) as url,
        sync_playwright() as tool,
    ):
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1440, "height": 900}, locale="en-US")
        studio = Studio(visit(page, url), browser, url, Path(name))
        for scene in SCENES:
            if not wanted or scene.__name__ in wanted:
                scene(studio)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
