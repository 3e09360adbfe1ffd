"""Whoever was let in: the login page, the guest's page, and the way out, on the program as people start it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PROJECT, Server, Visit, ready

MODEL = PROJECT / "models" / "checkpoints" / "pocket" / "unet"
PASSWORD = "hazel nuts for all"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not MODEL.is_dir(), reason="the model that ships is not here"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("shared")
    (folder / "password").write_text(f"{PASSWORD}\n", encoding="utf-8")
    command = [sys.executable, "webui.py", "serve", "--no-open", "--port", "{port}"]
    # A further name makes it a program that others reach, and it still listens on this machine alone.
    shared = ["--allow-host", "pictures.example", "--password-file", str(folder / "password")]
    server = Server([*command, *shared, "--data-dir", str(folder)], folder)
    server.start()
    yield server
    server.stop()


def enter(page: Page, secret: str) -> None:
    page.locator("#secret").fill(secret)
    page.locator("#form button").click()


def test_a_guest_comes_in_makes_a_picture_and_leaves(
    program: Server, browser: Browser, request: pytest.FixtureRequest, tmp_path: Path
):
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-US")
    request.addfinalizer(context.close)
    context.set_default_timeout(120_000)
    page = context.new_page()
    seen = Visit(page)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))

    page.goto(program.url)
    assert page.url == f"{program.url}login"
    seen.shot("guests-login")
    enter(page, "hazel nuts for none")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator("#secret")).to_have_value("")
    enter(page, PASSWORD)
    ready(page)
    assert page.url == program.url

    names = page.get_by_role("tab").all_inner_texts()
    assert "txt2img" in names
    assert "Extensions" not in names  # the owner has it, below
    assert page.locator("#nz-share").count() == 0
    # A panel of an extension that asks Python what there is: guests are told that much.
    page.get_by_text("ControlNet", exact=True).first.click()
    page.locator(".control-add").first.click()
    expect(page.locator(".control-units option", has_text="pocket_canny")).to_have_count(1)
    # He sees what a preprocessor makes of his picture; weights are the owner's to fetch.
    Image.new("RGB", (96, 64), "navy").save(tmp_path / "source.png")
    unit = page.locator(".control-unit").first
    unit.locator("input[data-file=image]").set_input_files(tmp_path / "source.png")
    unit.locator("select[data-field=module]").select_option("canny")
    unit.locator(".control-preview").click()
    page.wait_for_function("document.querySelector('img.control-map')?.naturalWidth > 0")
    unit.locator("select[data-field=module]").select_option("softedge_hed")
    expect(unit.locator(".control-needs")).to_be_visible()
    expect(unit.locator(".control-fetch")).to_be_hidden()
    unit.locator(".control-remove").click()
    page.locator("#nz-panel-lora > button.label-wrap").click()
    page.locator("#nz-panel-lora .lora-blends summary").click()
    expect(page.locator("#nz-panel-lora").get_by_text("Open a file")).to_be_visible()
    expect(page.locator("#nz-panel-lora .nz-owner")).to_be_hidden()
    seen.shot("guests-panels")
    # What runs in a prompt would run in every window that shows it.
    seen.generate("<img src=x onerror=window.ran=1> a red apple")
    # The first picture of a program loads its model; other tests may be at work beside it.
    page.locator("#nz-canvas[data-kind=picture] .nz-result").wait_for(timeout=180_000)
    picture = page.locator("#nz-canvas .nz-result img, #nz-canvas img.nz-result").first
    page.wait_for_function("(image) => image.naturalWidth > 0", arg=picture.element_handle())
    assert page.evaluate("window.ran") is None
    seen.shot("guests-page")

    address = picture.evaluate("(image) => image.src")
    page.locator("#nz-logout button").click()
    page.locator("#secret").wait_for()
    assert page.url.startswith(f"{program.url}login")
    assert context.request.get(address).status == 401
    assert seen.errors == []


def owner_key(program: Server) -> str:
    """What the terminal shows after the address: the link that opens everything."""
    assert program.process is not None and program.process.stdout is not None
    for line in program.process.stdout:
        if "/login#" in line:
            return line.split("#", 1)[1].strip()
    raise AssertionError("the terminal shows no link of the owner's")


def test_the_owners_link_opens_everything(
    program: Server, browser: Browser, request: pytest.FixtureRequest
):
    key = owner_key(program)
    context = browser.new_context(viewport={"width": 390, "height": 844}, locale="zh-CN")
    request.addfinalizer(context.close)
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(f"{program.url}login#{key}")
    ready(page)
    assert key not in page.url
    assert page.get_by_role("tab", name="扩展", exact=True).count() == 1
    assert page.evaluate("fetch('./ui/access').then((r) => r.json())")["role"] == "owner"
    page.locator("#nz-panel-lora > button.label-wrap").click()
    page.locator("#nz-panel-lora .lora-blends summary").click()
    expect(page.locator("#nz-panel-lora .nz-owner")).to_be_visible()
    assert page.evaluate("fetch('./api/v2/metrics').then((r) => r.status)") == 200
