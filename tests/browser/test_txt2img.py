"""What people come for: words in, picture out; and nothing lost on the way."""

from collections.abc import Callable

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import Server, Visit, ready

pytestmark = pytest.mark.browser


def test_words_become_a_picture_that_can_be_taken_along(
    visit: Callable[..., Visit], server: Server, tmp_path
):
    seen = visit(permissions=["clipboard-read", "clipboard-write"])
    page = seen.page
    expect(page.locator("#nz-canvas h2")).to_have_text("What would you like to see?")
    seen.shot("empty")
    with server.held():
        seen.generate("a red apple on a blue background")
        expect(page.locator(".nz-stage")).to_contain_text("Step")
        expect(page.locator(".nz-preview")).to_be_visible()
        expect(page.locator("#nz-counter")).to_contain_text("1 in the queue")
        seen.shot("running")
    seen.wait_done()
    seen.shot("done")
    expect(page.locator("#nz-counter")).to_contain_text("Queue empty")
    expect(page.locator(".nz-thumb")).to_have_count(1)
    expect(
        page.get_by_alt_text("Picture made from: a red apple on a blue background")
    ).to_be_visible()

    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download").click()
    assert waiting.value.suggested_filename.startswith("a-red-apple-on-a-blue-background-")
    waiting.value.save_as(tmp_path / "taken.png")
    with Image.open(tmp_path / "taken.png") as image:
        assert image.size == (128, 128)
        assert image.text["parameters"].startswith("a red apple on a blue background\nSteps: 20")

    page.get_by_role("button", name="Copy details").click()
    expect(page.locator(".nz-said")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("a red apple on a blue background\nSteps: 20")

    seed = page.locator(".nz-facts").inner_text().split()[-1]
    page.get_by_role("button", name="Use seed").click()
    expect(page.locator("#nz-seed input")).to_have_value(seed)
    page.get_by_role("button", name="Random").click()
    expect(page.locator("#nz-seed input")).to_have_value("-1")
    page.get_by_role("button", name="Last").click()
    expect(page.locator("#nz-seed input")).to_have_value(seed)
    assert seen.errors == []


def test_a_newcomer_has_a_picture_in_one_click(visit: Callable[..., Visit]):
    seen = visit()
    seen.page.locator(".nz-chip").first.click()
    seen.wait_done()
    expect(seen.page.locator("#nz-prompt textarea")).to_have_value("a red apple")


def test_reload_in_the_middle_loses_nothing(visit: Callable[..., Visit], server: Server):
    with server.held():
        _reload_in_the_middle(visit())


def _reload_in_the_middle(seen: Visit):
    page = seen.page
    page.locator("#nz-negative textarea").fill("ugly 丑")
    page.locator("#nz-aspect label").nth(1).click()
    expect(page.locator("#nz-width input")).to_have_value("144")
    page.locator("#nz-size button").click()
    expect(page.locator("#nz-height input")).to_have_value("144")
    seen.generate("a green frog")
    expect(page.locator(".nz-stage")).to_contain_text("Step")
    before = seen.state()["job"]
    page.wait_for_timeout(300)  # what is typed is stored a moment later
    page.reload()
    ready(page)
    expect(page.locator(".nz-stage")).to_contain_text("Step")
    after = seen.state()["job"]
    assert after["id"] == before["id"]
    assert after["fraction"] >= before["fraction"]
    expect(page.locator("#nz-prompt textarea")).to_have_value("a green frog")
    expect(page.locator("#nz-negative textarea")).to_have_value("ugly 丑")
    expect(page.locator("#nz-height input")).to_have_value("144")
    expect(page.locator("#nz-aspect label.selected")).to_contain_text("3:4")
    page.locator("#nz-stop").click()
    expect(page.locator("#nz-canvas h2")).to_have_text("Stopped before a picture was finished.")
    lists = page.evaluate("fetch('./ui/lists').then((r) => r.json())")
    assert [job["state"] for job in lists["past"]] == ["cancelled"]
    assert lists["active"] == []


def test_skip_leaves_out_the_batch_that_is_being_made(visit: Callable[..., Visit], server: Server):
    seen = visit()
    page = seen.page
    page.locator("#nz-count input[type=number]").fill("2")
    with server.held():
        seen.generate("two frogs")
        expect(page.locator(".nz-stage")).to_contain_text("Step")
        skip = page.get_by_role("button", name="Skip", exact=True)
        expect(skip).to_be_enabled()
        seen.shot("skip")
        skip.click()
        expect(page.locator(".nz-stage")).to_contain_text("2 of 2")
    page.locator("#nz-canvas[data-kind=picture] .nz-result").wait_for()
    lists = page.evaluate("fetch('./ui/lists').then((r) => r.json())")
    job = lists["past"][0]
    assert (job["state"], job["saved"]) == ("done", 1)
    assert seen.errors == []


def test_a_refusal_stands_beside_generate_and_the_fields_stay(visit: Callable[..., Visit]):
    seen = visit()
    page = seen.page
    page.locator("#nz-width input").fill("9000")
    seen.generate("far too wide")
    notice = page.get_by_role("alert").filter(has_text="9000")
    expect(notice).to_contain_text("this installation allows 64 to 2048")
    expect(page.locator("#nz-width input")).to_have_value("9000")
    expect(page.locator("#nz-prompt textarea")).to_have_value("far too wide")
    seen.shot("refused")
    page.get_by_role("button", name="Dismiss").click()
    expect(notice).to_have_count(0)
    # and the next one goes through
    page.locator("#nz-width input").fill("128")
    seen.generate("a red apple")
    seen.wait_done()


def test_a_job_that_fails_says_why(visit: Callable[..., Visit]):
    seen = visit(locale="zh-CN")
    seen.generate("unlucky")
    expect(seen.page.locator(".nz-sorry")).to_contain_text("请换一个值")
    expect(seen.page.locator("#nz-prompt textarea")).to_have_value("unlucky")


def test_several_pictures_and_their_settings(visit: Callable[..., Visit]):
    seen = visit()
    page = seen.page
    page.locator("#nz-count input[type=number]").fill("3")
    page.locator("#nz-count input[type=number]").blur()
    seen.generate("a blue fish <img src=x onerror=window.hit=1>")
    expect(page.locator(".nz-stage")).to_contain_text("Picture 1 of 3")
    expect(page.locator(".nz-grid .nz-show")).to_have_count(3)
    seen.shot("three")
    page.locator("#nz-prompt textarea").fill("something else")
    page.locator(".nz-grid .nz-show").nth(1).click()
    page.get_by_role("button", name="Use settings").click()
    expect(page.locator("#nz-prompt textarea")).to_have_value(
        "a blue fish <img src=x onerror=window.hit=1>"
    )
    page.get_by_role("button", name="Enlarge").click()
    expect(page.locator("dialog[open] img")).to_be_visible()
    first = page.locator("dialog img").get_attribute("src")
    page.keyboard.press("ArrowRight")
    assert page.locator("dialog img").get_attribute("src") != first
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.get_by_role("tab", name="Queue").click()
    expect(page.locator("#nz-jobs strong")).to_have_text(
        "a blue fish <img src=x onerror=window.hit=1>"
    )
    assert page.evaluate("window.hit") is None


def test_the_model_brings_its_own_values_and_examples(visit: Callable[..., Visit]):
    seen = visit()
    page = seen.page
    page.locator("#nz-model input").click()
    page.get_by_role("option", name="Landscape <test>").click()
    expect(page.locator("#nz-width input")).to_have_value("256")
    expect(page.locator("#nz-height input")).to_have_value("192")
    expect(page.locator("#nz-aspect label.selected")).to_contain_text("4:3")
    expect(page.locator(".nz-chip")).to_have_text(["mountains at dawn"])
    page.locator("#nz-sampling button.label-wrap").click()
    expect(page.locator("#nz-steps input[type=number]")).to_have_value("12")
    expect(page.locator("#nz-sampler input")).to_have_value("DPM++ 2M")


def test_an_extension_takes_part_by_its_panel(visit: Callable[..., Visit]):
    seen = visit()
    page = seen.page
    page.locator("#nz-panel-freeu button.label-wrap").click()
    page.get_by_label("Enable").check()
    seen.generate("a red apple")
    seen.wait_done()
    page.get_by_label("Enable").uncheck()
    page.get_by_role("button", name="Use settings").click()
    expect(page.get_by_label("Enable")).to_be_checked()
    page.get_by_role("tab", name="Extensions").click()
    expect(page.locator("#nz-extension-list li[data-state=active]")).to_contain_text("FreeU")
    expect(page.locator("#nz-extension-list li[data-state=failed]")).to_contain_text("broken")
    seen.shot("extensions")
