"""ControlNet's panel in a real browser, on a studio that draws circles: a picture taken in, preprocessed, sent, and brought back."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import expect

from tests.browser.conftest import Server, Visit

pytestmark = pytest.mark.browser


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    image = Image.new("RGB", (96, 64), "navy")
    ImageDraw.Draw(image).ellipse((20, 10, 70, 55), fill="orange")
    image.save(tmp_path / "source.png")
    return tmp_path / "source.png"


def test_a_unit_from_picture_to_result_and_back(
    visit: Callable[..., Visit], with_extensions: Server, picture: Path
) -> None:
    seen = visit(url=with_extensions.url)
    page = seen.page
    panel = page.locator("#nz-panel-controlnet")
    panel.get_by_role("button", name="ControlNet").click()
    panel.locator(".control-add").click()
    unit = panel.locator(".control-unit")
    expect(unit.locator(".control-preview")).to_be_disabled()
    unit.locator("input[data-file=image]").set_input_files(picture)
    unit.locator("select[data-field=module]").select_option("canny")
    expect(unit.get_by_text("Low Threshold")).to_be_visible()
    unit.locator("select[data-field=model]").select_option("pocket_canny")
    unit.locator(".control-preview").click()
    image = unit.locator("img.control-map")
    image.wait_for()
    page.wait_for_function("document.querySelector('img.control-map').naturalWidth == 128")
    # One that needs weights says so, and offers to fetch them.
    unit.locator("select[data-field=module]").select_option("softedge_hed")
    expect(unit.locator(".control-needs")).to_contain_text("ControlNetHED.pth")
    unit.locator(".control-preview").click()
    expect(panel.locator(".control-bad")).to_contain_text("softedge_hed")
    unit.locator("select[data-field=module]").select_option("canny")
    page.locator("#nz-prompt textarea").fill("a gem")
    page.locator("#nz-generate").click()
    page.locator("#nz-canvas[data-kind=picture] .nz-result").wait_for()
    # "Use settings" brings the unit back.
    unit.locator(".control-remove").click()
    expect(unit).to_have_count(0)
    page.get_by_role("button", name="Use settings").click()
    expect(unit).to_have_count(1)
    expect(unit.locator("select[data-field=module]")).to_have_value("canny")
    expect(unit.locator(".control-place img")).to_have_count(1)
    assert seen.errors == []


def test_units_are_added_and_taken_away(
    visit: Callable[..., Visit], with_extensions: Server
) -> None:
    seen = visit(url=with_extensions.url)
    page = seen.page
    panel = page.locator("#nz-panel-controlnet")
    panel.get_by_role("button", name="ControlNet").click()
    for _ in range(3):
        panel.locator(".control-add").click()
    expect(panel.locator(".control-unit")).to_have_count(3)
    panel.locator(".control-unit").nth(1).locator("[data-field=weight]").fill("0.5")
    panel.locator(".control-unit").nth(1).locator("[data-field=weight]").blur()
    panel.locator(".control-unit").first.locator(".control-remove").click()
    expect(panel.locator(".control-unit")).to_have_count(2)
    expect(panel.locator(".control-unit").first.locator("[data-field=weight]")).to_have_value("0.5")
    assert "false" not in panel.inner_text()
    assert seen.errors == []
