"""The public link on the owner's page: shown with its code, used by a friend, ended; and what is said without one."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import PROJECT, SHOTS, Server, ready, wait_until
from tests.browser.serve_shared import NAME

MODEL = PROJECT / "models" / "checkpoints" / "pocket" / "unet"
PASSWORD = "hazel nuts for all"
SHARED = str(Path(__file__).parent / "serve_shared.py")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not MODEL.is_dir(), reason="the model that ships is not here"),
]


def program(folder: Path, script: str, *more: str) -> Server:
    (folder / "password").write_text(f"{PASSWORD}\n", encoding="utf-8")
    command = [sys.executable, script, "serve", "--no-open", "--port", "{port}", "--share", *more]
    secret = ["--password-file", str(folder / "password"), "--data-dir", str(folder)]
    return Server([*command, *secret], folder)


OWNER = re.compile(r"/login#(\S+)")


def said(server: Server, pattern: "str | re.Pattern[str]") -> str:
    """What the terminal says further down, up to the line that fits."""
    assert server.process is not None and server.process.stdout is not None
    for line in server.process.stdout:
        if found := re.search(pattern, line):
            return found.group(1)
    raise AssertionError(f"the terminal says nothing like {pattern}")


@pytest.fixture
def window(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a window of somebody new, and asks for an address there."""
    contexts: list[BrowserContext] = []

    def opened(
        url: str, width: int = 1440, height: int = 900, locale: str = "en-US", scheme: str = "light"
    ) -> Page:
        size = {"width": width, "height": height}
        context = browser.new_context(viewport=size, locale=locale, color_scheme=scheme)
        context.set_default_timeout(120_000)
        contexts.append(context)
        page = context.new_page()
        page.goto(url)
        ready(page)
        return page

    yield opened
    for context in contexts:
        context.close()


def shoot(page: Page, name: str) -> None:
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


def test_the_link_is_shown_used_and_ended(tmp_path: Path, window: Callable[..., Page]):
    server = program(tmp_path, SHARED, "--share-hours", "6")
    server.start()
    try:
        owner = window(f"{server.url}login#{said(server, OWNER)}")
        link = said(server, rf"(http://{NAME}:\d+/login#\S+)")
        owner.locator("#nz-share").click()
        panel = owner.locator("#nz-share-panel")
        expect(owner.locator("#nz-share-link")).to_have_value(link)
        expect(panel.locator("#nz-share-left")).to_contain_text(
            re.compile(r"^(6 h 0|5 h \d+) min left$")
        )
        code = panel.get_by_role("img", name="QR code of the public link")
        owner.wait_for_function("(image) => image.naturalWidth > 0", arg=code.element_handle())
        shoot(owner, "share-open")

        friend = window(link, 390, 844)
        assert friend.url == f"http://{NAME}:{server.port}/"  # the invitation is not left in it
        told = friend.evaluate("fetch('./ui/access').then((r) => r.json())")
        assert told["role"] == "guest"
        assert "share" not in told
        assert friend.locator("#nz-share").count() == 0

        panel.get_by_role("button", name="End it now").click()
        expect(panel.get_by_role("status")).to_contain_text("whoever came by it is out")
        expect(owner.locator("#nz-share-link")).to_have_count(0)
        expect(code).to_have_count(0)
        assert "closed" in said(server, r"(The public link is closed.*)")
        for path in ("ui/state", "ui/access", "api/v2/health"):
            assert friend.evaluate(f"fetch('./{path}').then((r) => r.status)") == 421
        # Nor does the link open anything for somebody who has it still, by whichever name.
        again = friend.context.new_page()
        answer = again.goto(link)
        assert answer is not None
        assert answer.status == 421
        again.goto(link.replace(NAME, "127.0.0.1"))
        expect(again.get_by_role("alert")).to_be_visible()
        assert owner.evaluate("fetch('./ui/state').then((r) => r.status)") == 200
    finally:
        server.stop()


def test_without_a_tunnel_it_is_said_and_all_else_goes_on(
    tmp_path: Path, window: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
):
    # Whichever network this machine has: what the program asks for goes to a port where nobody listens.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    server = program(tmp_path, "webui.py")
    server.start()
    try:
        owner = window(f"{server.url}login#{said(server, OWNER)}", locale="zh-CN")
        assert "share server cannot be reached" in said(server, "(There is no public link: .*)")
        owner.locator("#nz-share").click()
        panel = owner.locator("#nz-share-panel")
        expect(panel.get_by_role("status")).to_contain_text("没有公开链接：无法连接共享服务器")
        expect(panel.get_by_role("button")).to_have_count(1)
        expect(owner.locator("#nz-share-link")).to_have_count(0)
        shoot(owner, "share-failed")
        panel.get_by_role("button", name="关闭窗口").click()
        owner.locator("#nz-prompt textarea").fill("a red apple")
        owner.locator("#nz-generate").click()
        jobs = "fetch('./ui/lists').then((r) => r.json()).then((all) => [...all.active, ...all.past].length)"
        wait_until(lambda: owner.evaluate(jobs) == 1)
        # Guests in the same network still come in by the password.
        answer = window(f"{server.url}login#{PASSWORD.replace(' ', '%20')}")
        wait_until(lambda: answer.evaluate("document.documentElement.dataset.role") == "guest")
    finally:
        server.stop()
