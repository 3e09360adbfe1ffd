"""The page itself: keyboard, languages, small windows, accessibility, connection, and that nothing leaves this machine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import axe_playwright_python
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Server, Visit, ready, wait_until

pytestmark = pytest.mark.browser
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


_TOO_WIDE = """() => [document.documentElement.scrollWidth - innerWidth,
  ...[...document.querySelectorAll('#nz-create *, #nz-img2img-create *, .nz-page *, #nz-top *')]
    .filter((n) => n.checkVisibility() && !n.matches('[type=radio]'))
    .filter((n) => !n.closest('.nz-thumbs, .visually-hidden, pre, .nz-unseen, .nz-frame, .nz-bar, .nz-sheet-pane'))
    .filter((n) => n.getBoundingClientRect().right > innerWidth + 1)
    .map((n) => n.outerHTML.slice(0, 120))]"""
_TOO_SMALL = """() => [...document.querySelectorAll('input, textarea')]
    .filter((n) => !['range', 'radio', 'checkbox'].includes(n.type) && n.checkVisibility())
    .filter((n) => parseFloat(getComputedStyle(n).fontSize) < 16).map((n) => n.outerHTML)"""


def serious(page: Page) -> list[str]:
    """What axe calls serious or critical."""
    if not page.evaluate("typeof window.axe === 'object'"):
        page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def test_axe_finds_nothing_serious(visit: Callable[..., Visit], server: Server):
    seen = visit(reduced_motion="reduce")  # or a colour would be measured while it fades over
    page = seen.page

    def check(name: str) -> None:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(100)
            assert serious(page) == [], f"{name}, {scheme}"
            seen.shot(f"{name}-{scheme}")

    check("empty")
    with server.held():
        seen.generate("a red apple")
        expect(page.locator(".nz-stage")).to_contain_text("Step")
        assert serious(page) == []
        for accordion in page.locator("#nz-side button.label-wrap").all():
            accordion.click()
    seen.wait_done()
    page.locator(".nz-details summary").click()
    check("done")
    for tab in ("queue", "extensions"):
        page.get_by_role("tab", name=tab.capitalize()).click()
        check(tab)


def test_nothing_is_fetched_from_elsewhere(visit: Callable[..., Visit], server: Server):
    seen = visit()
    seen.generate("a red apple")
    seen.wait_done()
    own = urlsplit(server.url).netloc
    asked = [urlsplit(url) for url in seen.requests if not url.startswith(("data:", "blob:"))]
    assert len(asked) > 20
    assert [part.geturl() for part in asked if part.netloc != own] == []
    assert seen.errors == []


def test_keys(visit: Callable[..., Visit], server: Server):
    with server.held():
        _keys(visit())


def _keys(seen: Visit):
    page = seen.page
    prompt = page.locator("#nz-prompt textarea")
    expect(prompt).to_be_focused()
    page.keyboard.type("a green frog")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".nz-stage")).to_contain_text("Step")
    expect(prompt).to_have_value("a green frog")
    # Escape in an open list closes the list and spares the job.
    page.locator("#nz-model input").click()
    expect(page.get_by_role("listbox").last).to_be_visible()
    page.keyboard.press("Escape")
    page.wait_for_timeout(400)
    assert seen.state()["job"]["state"] == "running"
    prompt.focus()
    page.keyboard.press("Escape")
    expect(page.locator("#nz-canvas h2")).to_have_text("Stopped before a picture was finished.")
    page.keyboard.press("Escape")  # with nothing to stop it does nothing
    assert seen.errors == []


def test_everything_is_reached_by_tab(visit: Callable[..., Visit]):
    page = visit().page
    page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                """() => { for (let n = document.activeElement; n; n = n.parentElement)
                           if (n.id?.startsWith('nz-')) return n.id; return '' }"""
            )
        )
    wanted = {"nz-counter", "nz-language", "nz-theme", "nz-prompt", "nz-negative", "nz-generate",
              "nz-model", "nz-aspect", "nz-width", "nz-swap", "nz-height", "nz-count", "nz-seed",
              "nz-dice", "nz-recycle", "nz-sampling", "nz-canvas"}  # fmt: skip
    assert wanted - reached == set()


def test_chinese_by_browser_and_by_switch(visit: Callable[..., Visit]):
    seen = visit(locale="zh-CN")
    page = seen.page
    expect(page.locator("#nz-generate")).to_have_text("生成")
    expect(page.locator("#nz-canvas h2")).to_have_text("你想看到什么？")
    expect(page.locator("#nz-panel-freeu button.label-wrap")).to_contain_text("FreeU")
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    seen.shot("chinese")
    page.locator("#nz-prompt textarea").fill("保留")
    page.wait_for_timeout(300)
    page.locator("#nz-language").click()
    expect(page.locator("#nz-generate")).to_have_text("Generate")
    ready(page)
    expect(page.locator("#nz-prompt textarea")).to_have_value("保留")
    assert page.evaluate("document.documentElement.lang") == "en"
    page.locator("#nz-width input").fill("9000")
    seen.generate("x")
    expect(page.get_by_role("alert").first).to_contain_text("this installation allows")


def test_no_text_is_left_untranslated(visit: Callable[..., Visit]):
    page = visit(locale="zh-CN").page
    for accordion in page.locator("#nz-side button.label-wrap").all():
        accordion.click()
    page.wait_for_timeout(300)
    words = page.evaluate(
        "document.body.innerText + [...document.querySelectorAll('[aria-label],[placeholder]')]"
        ".map((n) => n.getAttribute('aria-label') + n.getAttribute('placeholder')).join()"
    )
    assert "ui_" not in words
    assert "ui." not in words
    assert "__i18n__" not in words


def test_small_windows(visit: Callable[..., Visit], server: Server):
    seen = visit(width=390, height=844, color_scheme="dark", has_touch=True)
    page = seen.page

    def fits(name: str) -> None:
        for width in (390, 768, 1024):
            page.set_viewport_size({"width": width, "height": 844})
            page.wait_for_timeout(150)
            assert page.evaluate(_TOO_WIDE) == [0], f"{name} at {width}"
            seen.shot(f"{name}-{width}")

    fits("empty")
    page.set_viewport_size({"width": 390, "height": 844})
    with server.held():
        seen.generate("a red apple")
        expect(page.locator(".nz-stage")).to_contain_text("Step")
        bar = page.locator(".nz-bar").bounding_box()
        model = page.locator("#nz-model").bounding_box()
        assert bar and model
        assert bar["y"] < model["y"]
        assert page.evaluate(_TOO_WIDE) == [0]
    seen.wait_done()
    for accordion in page.locator("#nz-side button.label-wrap").all():
        accordion.click()
    fits("done")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate(_TOO_SMALL) == []
    for tab in ("Queue", "Extensions"):
        page.get_by_role("tab", name=tab).click()
        fits(tab.lower())


def test_colours_follow_the_system_and_the_button(visit: Callable[..., Visit]):
    page = visit(color_scheme="dark").page
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    assert page.evaluate("document.body.classList.contains('dark')")
    page.locator("#nz-theme").click()
    page.locator("#nz-theme[title='Colours: light']").wait_for()
    assert page.evaluate(ground) != dark
    page.reload()
    ready(page)
    assert not page.evaluate("document.body.classList.contains('dark')")
    page.locator("#nz-theme").click()
    assert page.evaluate(ground) == dark


def test_the_queue_shows_and_cancels_own_jobs_only(visit: Callable[..., Visit], server: Server):
    with server.held():
        _the_queue(visit(), visit())


def _the_queue(seen: Visit, other: Visit):
    seen.generate("first of mine")
    expect(seen.page.locator(".nz-stage")).to_contain_text("Step")
    other.generate("not to be read by others")
    expect(other.page.locator(".nz-stage")).to_have_text("Waiting for the job before it")
    page = seen.page
    page.locator("#nz-counter").click()
    expect(page.locator("#nz-jobs .nz-row")).to_have_count(2)
    expect(page.locator("#nz-jobs .nz-row").nth(1)).to_contain_text("Somebody else's job")
    assert "not to be read" not in page.content()
    assert page.get_by_role("button", name="Cancel").count() == 1
    stranger = other.state()["job"]["id"]
    refused = page.evaluate(
        f"fetch('./ui/jobs/{stranger}/cancel', {{method: 'POST'}}).then((r) => r.status)"
    )
    assert refused == 404
    seen.shot("queue")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#nz-jobs .nz-row[data-state=cancelled]")).to_have_count(1)
    expect(other.page.locator(".nz-stage")).to_contain_text("Step")
    other.page.locator("#nz-stop").click()
    expect(other.page.locator("#nz-canvas h2")).to_be_visible()


def test_a_lost_server_is_seen_and_found_again(visit: Callable[..., Visit], server: Server):
    seen = visit()
    page = seen.page
    page.locator("#nz-prompt textarea").fill("typed before it went away")
    page.wait_for_timeout(300)
    port = server.port
    server.stop()
    expect(page.locator("#nz-connection")).to_have_text("Connection lost, trying again …")
    seen.shot("lost")
    server.start(port)
    expect(page.locator("#nz-connection")).to_have_text("")
    ready(page)
    wait_until(
        lambda: page.locator("#nz-prompt textarea").input_value() == "typed before it went away"
    )
    page.locator("#nz-generate").click()
    seen.wait_done()


def test_less_motion_when_asked_for(visit: Callable[..., Visit]):
    page = visit(reduced_motion="reduce").page
    longest = page.evaluate(
        """() => Math.max(...[...document.querySelectorAll('*')].map((n) => {
             const style = getComputedStyle(n);
             return style.animationName === 'none' ? 0 : parseFloat(style.animationDuration); }))"""
    )
    assert longest < 0.01
