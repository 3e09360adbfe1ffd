"""A real Chromium before the real page. The studio behind it is the fake one, except in test_program.py."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

PROJECT = Path(__file__).resolve().parents[2]
SHOTS = Path(__file__).parent / "screenshots"
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


expect.set_options(timeout=120_000)  # a loaded machine is slow, not wrong


@dataclass
class Server:
    """A program that serves the page, in a process of its own."""

    command: list[str]
    folder: Path
    url: str = ""
    process: subprocess.Popen[str] | None = None

    def start(self, port: int = 0) -> None:
        log = (self.folder / "server.log").open("a")
        command = [part.replace("{port}", str(port)) for part in self.command]
        self.process = subprocess.Popen(
            command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=log, text=True
        )
        log.close()
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"http://[\w.]+:\d+/", line):
                self.url = found.group()
                return
        raise AssertionError((self.folder / "server.log").read_text())

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Every picture stops at its third step until the end of the block, for a test that looks at it or stops it."""
        hold = self.folder / "hold"
        hold.touch()
        try:
            yield
        finally:
            hold.unlink(missing_ok=True)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1].rstrip("/"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page alone; pictures in about a second and a half, unless they are held."""
    folder = tmp_path_factory.mktemp("fake")
    script = str(Path(__file__).parent / "serve_fake.py")
    server = Server([sys.executable, script, str(folder), "0.06", "{port}"], folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def with_extensions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page with the extensions that come along."""
    folder = tmp_path_factory.mktemp("extensions")
    script = str(Path(__file__).parent / "serve_fake.py")
    names = sorted(path.parent.name for path in (PROJECT / "extensions").glob("*/extension.toml"))
    server = Server([sys.executable, script, str(folder), "0.06", "{port}", *names], folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_FLAGS))
        yield browser
        browser.close()


@dataclass
class Visit:
    """One visitor's window, and everything that went wrong or out in it."""

    page: Page
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def generate(self, prompt: str) -> None:
        self.page.locator("#nz-prompt textarea").fill(prompt)
        self.page.locator("#nz-generate").click()

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.page.evaluate("fetch('./ui/state').then((r) => r.json())")
        return found

    def wait_done(self) -> None:
        self.page.locator("#nz-canvas[data-kind=picture] .nz-result").wait_for()

    def shot(self, name: str) -> None:
        SHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png")


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Callable[..., Visit]]:
    """Opens the page as a new visitor."""
    contexts = []

    def open_page(
        *, url: str = "", width: int = 1440, height: int = 900, locale: str = "en-US", **more: Any
    ) -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": height}, locale=locale, **more
        )
        context.set_default_timeout(120_000)  # a loaded machine is slow, not wrong
        contexts.append(context)
        seen = Visit(context.new_page())
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
        seen.page.on(
            "console",
            lambda said: seen.errors.append(said.text) if said.type == "error" else None,
        )
        seen.page.goto(url or server.url)
        ready(seen.page)
        return seen

    yield open_page
    for context in contexts:
        context.close()


def ready(page: Page) -> None:
    """The page stands and has taken back what was typed."""
    page.locator("#nz-generate").wait_for()
    page.wait_for_function("document.querySelector('#nz-canvas')?.dataset.kind")
    page.wait_for_function("document.querySelector('#nz-model-info p')")


def wait_until(true: Callable[[], Any], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.1)


os.environ.setdefault("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1")
