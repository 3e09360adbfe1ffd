"""What a guest types is text wherever it is shown, to him and to the owner: nothing runs, and no element comes of it."""

import json
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Server, Visit, ready
from tests.browser.test_guests import PASSWORD, enter, owner_key, program, pytestmark  # noqa: F401

NASTY = (
    """<img src=x onerror="window.ran='img'"> </script><script>window.ran='script'</script> """
    """"><svg onload="window.ran='svg'"> {{7*7}} [a](javascript:window.ran='link')"""
)
MADE = """() => [...document.querySelectorAll(
    'img[src="x"], img[onerror], svg[onload], [onload], a[href^="javascript:"]')].map((each) => each.outerHTML)
    .concat([...document.scripts].filter((each) => each.text.trim() === "window.ran='script'").map((each) => each.text))"""


def untouched(page: Page) -> None:
    assert page.evaluate(MADE) == []
    assert page.evaluate("window.ran") is None


def looked_at_everywhere(seen: Visit, file: Path) -> None:
    """The prompt's own result, the queue, the gallery below it, the receipt and PNG info; then all of it after a reload."""
    page = seen.page
    seen.generate(NASTY)
    # The first picture of a program loads its model.
    page.locator("#nz-canvas[data-kind=picture] .nz-result").wait_for(timeout=180_000)
    untouched(page)
    page.get_by_role("tab", name="Queue").click()
    expect(page.locator("#nz-jobs strong").first).to_have_text(NASTY)
    untouched(page)
    page.get_by_role("tab", name="PNG info").click()
    page.locator("#nz-info input[type=file]").set_input_files(file)
    expect(page.locator(".nz-quote").first).to_have_text(NASTY)
    expect(page.locator(".nz-receipt").first).to_contain_text("window.ran='svg'")
    page.locator("#nz-info details summary").click()
    untouched(page)
    page.get_by_role("button", name="Send to txt2img").click()
    expect(page.locator("#nz-prompt textarea")).to_have_value(NASTY)
    untouched(page)
    page.reload()
    ready(page)
    expect(page.locator("#nz-prompt textarea")).to_have_value(NASTY)
    page.get_by_role("tab", name="Queue").click()
    expect(page.locator("#nz-jobs strong").first).to_have_text(NASTY)
    untouched(page)
    assert seen.errors == []


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A picture that says it all: in its request, in an extension's receipt, in its text and in its name."""
    said = PngInfo()
    receipts = {"freeu": {NASTY: NASTY}, NASTY: [{"a": NASTY}]}
    said.add_text("noisette", json.dumps({"request": {"prompt": NASTY}, "receipts": receipts}))
    said.add_text("parameters", f"{NASTY}\nSteps: 3, Sampler: Euler, Seed: 1, Odd key: {NASTY}")
    path = tmp_path / "<img src=x onerror=window.ran=1>.png"
    Image.new("RGB", (16, 16), "teal").save(path, pnginfo=said)
    return path


def test_neither_in_the_guests_window_nor_in_the_owners(
    program: Server,  # noqa: F811
    browser: Browser,
    request: pytest.FixtureRequest,
    file: Path,
    tmp_path: Path,
):
    key = owner_key(program)
    for way in (f"{program.url}login#{key}", f"{program.url}login"):
        context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-US")
        request.addfinalizer(context.close)
        context.set_default_timeout(120_000)
        page = context.new_page()
        seen = Visit(page)
        page.on("pageerror", lambda error, seen=seen: seen.errors.append(str(error)))
        page.on("dialog", lambda box, seen=seen: (seen.errors.append(box.message), box.dismiss()))
        page.goto(way)
        if page.url.endswith("/login"):
            enter(page, PASSWORD)
        ready(page)
        looked_at_everywhere(seen, file)
        # A real picture of his, handed to PNG info: what it says of itself.
        number = page.evaluate("fetch('./ui/lists').then((r) => r.json())")["pictures"][0]["id"]
        made = tmp_path / "made.png"
        made.write_bytes(context.request.get(f"{program.url}files/picture/{number}").body())
        page.get_by_role("tab", name="PNG info").click()
        page.locator("#nz-info input[type=file]").set_input_files(made)
        expect(page.locator("#nz-info figcaption")).to_have_text("made.png")
        expect(page.locator(".nz-quote").first).to_have_text(NASTY)
        untouched(page)
