"""What comes back: a job that failed, words that were typed, and the picture where its preview was."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import Server, Visit, ready, wait_until

pytestmark = pytest.mark.browser

# Follows the frame of the running job and keeps where it stood last.
FOLLOW = """() => {
  const look = () => {
    const frame = document.querySelector("#nz-canvas .nz-frame");
    if (frame && document.querySelector("#nz-canvas").dataset.kind === "running") {
      const { x, y, width, height } = frame.getBoundingClientRect();
      window.lastFrame = { x, y, width, height };
    }
    requestAnimationFrame(look);
  };
  look();
}"""
BOX = """() => {
  const { x, y, width, height } = document.querySelector("#nz-canvas .nz-show img").getBoundingClientRect();
  return { x, y, width, height };
}"""


def test_a_failed_job_is_done_again(visit: Callable[..., Visit]):
    seen = visit()
    page = seen.page
    seen.generate("unlucky")
    again = page.locator("#nz-canvas").get_by_role("button", name="Retry")
    expect(again).to_be_visible()
    job = seen.state()["job"]["id"]
    before = seen.state()["version"]
    again.click()
    wait_until(lambda: seen.state()["version"] > before)
    assert seen.state()["job"]["id"] == job
    page.locator("#nz-counter").click()
    expect(page.locator(f"#nz-jobs [data-job='{job}']").get_by_role("button")).to_have_text("Retry")


SIZES = [(1920, 1080), (1440, 900), (1024, 768), (390, 844)]


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_picture_stands_where_its_frame_was(
    visit: Callable[..., Visit], width: int, height: int, locale: str
):
    seen = visit(width=width, height=height, locale=locale)
    page = seen.page
    page.evaluate(FOLLOW)
    page.locator("#nz-aspect label").nth(1).click()
    expect(page.locator("#nz-width input")).to_have_value("144")
    seen.generate("a green frog")
    seen.wait_done()
    page.wait_for_function("document.querySelector('#nz-canvas .nz-show img').complete")
    frame, picture = page.evaluate("window.lastFrame"), page.evaluate(BOX)
    assert {k: abs(frame[k] - picture[k]) <= 2 for k in picture} == dict.fromkeys(picture, True), (
        frame,
        picture,
    )


def test_a_cleared_browser_gets_its_words_back_until_they_are_cleared(
    visit: Callable[..., Visit], server: Server
):
    seen = visit()
    page = seen.page
    with page.expect_response(lambda answer: "/ui/drafts/txt2img" in answer.url) as kept:
        page.locator("#nz-prompt textarea").fill("a word worth keeping")
    assert kept.value.status == 204
    page.evaluate("localStorage.clear()")
    page.reload()
    ready(page)
    expect(page.locator("#nz-prompt textarea")).to_have_value("a word worth keeping")
    page.get_by_role("button", name="Clear all fields").first.click()
    expect(page.locator("#nz-prompt textarea")).to_have_value("")
    page.evaluate("localStorage.clear()")
    page.reload()
    ready(page)
    expect(page.locator("#nz-prompt textarea")).to_have_value("")
    assert seen.errors == []


def test_what_is_typed_before_the_draft_is_there_stays(visit: Callable[..., Visit]):
    seen = visit()
    page = seen.page
    box = page.locator("#nz-prompt textarea")
    box.fill("old text")
    box.blur()
    page.wait_for_timeout(2000)  # the draft is stored a moment after typing
    held: list[Route] = []
    typed: list[str] = []
    page.route(
        "**/gradio_api/run/**", lambda route: route.continue_() if typed else held.append(route)
    )
    page.reload()
    box.wait_for()
    wait_until(lambda: (page.wait_for_timeout(50), bool(held))[1])
    box.press_sequentially("new words")
    typed.append("new words")
    for route in held:
        route.continue_()
    ready(page)
    page.wait_for_timeout(500)
    expect(box).to_have_value("new words")


def test_pictures_made_before_a_job_failed_are_shown_with_the_reason(visit: Callable[..., Visit]):
    seen = visit()
    page = seen.page
    page.locator("#nz-count input[type=number]").fill("3")
    page.locator("#nz-count input[type=number]").blur()
    seen.generate("unlucky at the end")
    expect(page.locator("#nz-canvas .nz-broken")).to_contain_text("it fails here")
    expect(page.locator("#nz-canvas .nz-grid .nz-show")).to_have_count(2)
    seen.shot("failed-at-the-end")
