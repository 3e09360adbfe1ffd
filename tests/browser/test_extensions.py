"""The panels and tabs of the extensions that come along, as a visitor uses them."""

import json
from collections.abc import Callable
from pathlib import Path

import axe_playwright_python
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Server, Visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]

AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
Open = Callable[..., Visit]


@pytest.fixture
def seen(visit: Open, with_extensions: Server) -> Callable[..., Visit]:
    return lambda **more: visit(url=with_extensions.url, **more)


def panel(page: Page, name: str, tab: str = "") -> Locator:
    """The accordion of an extension, opened."""
    found = page.locator(f"#nz-{tab}panel-{name}")
    inside = found.get_by_test_id("accordion-content").first
    if not inside.is_visible():
        found.locator("> button").click()
        expect(inside).to_be_visible()
    return found


def open_tab(page: Page, name: str) -> None:
    found = page.get_by_role("tab", name=name, exact=True)
    if not found.is_visible():
        page.locator("#nz-tabs .overflow-menu > button").first.click()
        found = page.locator("#nz-tabs .overflow-dropdown button", has_text=name)
    found.click()


def prompts(place: Locator) -> Locator:
    return place.locator(".nz-written li")


def test_a_receipt_speaks_the_language_of_the_visitor(seen: Open) -> None:
    page = seen().page
    said = {
        "lora": [
            {"name": "te", "misfits": 0, "blocks": {"te": 0.1, "in0": 0.2}, "refiner": "unchanged"}
        ],
        "gone": {"te": "x"},
    }
    draw = """said => window.noisette.receipts(said).map((node) =>
        [...node.querySelectorAll("tr")].map((row) => [...row.cells].map((cell) => cell.innerText)))"""
    title = "said => window.noisette.receipts(said)[0].innerText"
    _, own, _, other = page.evaluate(draw, said)
    assert page.evaluate(title, said) == "Style Mixer: what it did"
    assert own[0] == ["LoRA", "te"]  # the name of a file, not a word
    assert own[1:] == [
        ["Keys that do not fit the model", "0"],
        ["Relative change per block", "Text encoder 0.1, in0 0.2"],
        ["Refiner", "left as it is"],
    ]
    assert other == [["te", "x"]]  # what is not here has no words: as it was written
    page.locator("#nz-language").click()
    page.wait_for_function("window.noisette && document.documentElement.lang === 'zh-CN'")
    _, own, *_ = page.evaluate(draw, said)
    assert page.evaluate(title, said).startswith("风格混合")
    assert own[2] == ["各层块的相对变化", "文本编码器 0.1, in0 0.2"]


def test_why_files_could_not_be_taken_stays_said(seen: Open, tmp_path: Path) -> None:
    visit = seen()
    page = visit.page
    (tmp_path / "broken.png").write_bytes(b"no picture at all")
    open_tab(page, "Upscale")
    tab = page.locator(".upscale-tab")
    tab.locator("input[type=file]").first.set_input_files(tmp_path / "broken.png")
    told = tab.get_by_role("alert")
    expect(told).to_contain_text("broken.png: ")
    tab.get_by_role("button", name="Upscale", exact=True).click()
    expect(told).to_contain_text("broken.png: ")
    expect(tab.locator(".upscale-list .upscale-bad")).to_have_count(1)


def test_styles_are_found_in_both_languages_and_written_around_the_words(seen: Open) -> None:
    visit = seen()
    page = visit.page
    page.locator("#nz-prompt textarea").fill("a cat")
    styles = panel(page, "styles")
    styles.get_by_role("button", name="Add a style").click()
    styles.get_by_role("searchbox").fill("油画")
    styles.get_by_role("button", name="Oil painting", exact=True).click()
    styles.get_by_role("searchbox").fill("neon")
    styles.get_by_role("button", name="Neon", exact=True).click()
    styles.get_by_role("button", name="Close").click()
    amount = styles.get_by_role("spinbutton", name="Amount of Neon")
    amount.fill("0.5")
    amount.blur()
    styles.get_by_role("button", name="Show the prompts").click()
    expect(prompts(styles).first).to_contain_text("oil painting of a cat")
    expect(prompts(styles).first).to_contain_text("(neon light")
    expect(prompts(styles).first).to_contain_text(":0.5)")
    visit.shot("styles-panel")
    # they are kept like everything that is typed
    page.wait_for_timeout(600)
    page.reload()
    expect(panel(page, "styles").locator(".styles-chip")).to_have_count(2)
    expect(page.get_by_role("spinbutton", name="Amount of Neon")).to_have_value("0.5")
    panel(page, "styles").get_by_role("button", name="Remove Neon").click()
    expect(panel(page, "styles").locator(".styles-chip")).to_have_count(1)
    assert visit.errors == []


def test_a_preset_of_ones_own(seen: Open, tmp_path: Path) -> None:
    visit = seen()
    page = visit.page
    open_tab(page, "Styles")
    tab = page.locator(".styles-tab")
    tab.get_by_role("button", name="New preset").click()
    tab.get_by_label("Name", exact=True).fill("Mine, too")
    tab.get_by_label("Prompt: {prompt} stands").fill("mine of {prompt}, <b>bold</b>")
    tab.get_by_role("button", name="Save").click()
    expect(tab.get_by_role("status")).to_contain_text("no comma")
    tab.get_by_label("Name", exact=True).fill("<i>Mine</i>")
    tab.get_by_role("button", name="Save").click()
    expect(tab.get_by_role("status")).to_contain_text("Saved: <i>Mine</i>")
    card = tab.get_by_role("button", name="<i>Mine</i>")
    card.click()
    expect(tab.locator(".styles-words")).to_have_text("mine of {prompt}, <b>bold</b>")
    assert page.locator("i", has_text="Mine").count() == 0
    visit.shot("styles-tab")
    tab.get_by_role("button", name="Add <i>Mine</i> to txt2img").click()
    expect(tab.get_by_role("status")).to_contain_text("is on in txt2img")
    open_tab(page, "txt2img")
    expect(panel(page, "styles").locator(".styles-chip")).to_have_count(1)
    open_tab(page, "Styles")
    with page.expect_download() as caught:
        tab.get_by_role("button", name="Export JSON").click()
    rows = json.loads(Path(caught.value.path()).read_text(encoding="utf-8"))
    assert [row["name"] for row in rows] == ["<i>Mine</i>"]
    tab.get_by_role("button", name="Delete").click()
    expect(tab.get_by_role("status")).to_contain_text("Deleted")
    broken = tmp_path / "styles.csv"
    broken.write_text("nothing,of,the,kind\n")
    tab.locator("input[type=file]").first.set_input_files(broken)
    expect(tab.get_by_role("status")).to_contain_text("This is no styles.csv")
    broken.write_text("name,prompt,negative_prompt\nFrom A1111,x,y\n")
    tab.locator("input[type=file]").first.set_input_files(broken)
    expect(tab.get_by_role("status")).to_contain_text("1 imported, 0 left alone")
    assert visit.errors == []


def test_wildcards_are_drawn_and_a_wrong_one_is_said(seen: Open) -> None:
    visit = seen()
    page = visit.page
    page.locator("#nz-prompt textarea").fill("a {red|green|blue} __animals__")
    page.locator("#nz-count input[type=number]").fill("4")
    wildcards = panel(page, "wildcards")
    wildcards.get_by_label("Draw {a|b} and __lists__").check()
    wildcards.get_by_role("button", name="Show the prompts").click()
    expect(prompts(wildcards)).to_have_count(4)
    assert "{" not in prompts(wildcards).first.inner_text()
    visit.shot("wildcards-panel")
    page.locator("#nz-prompt textarea").fill("a {red|green")
    wildcards.get_by_role("button", name="Show the prompts").click()
    expect(page.get_by_role("alert").filter(has_text="is not closed")).to_be_visible()
    open_tab(page, "Wildcards")
    place = page.locator("#nz-tab-wildcards")
    place.get_by_label("Name").fill("../outside")
    place.get_by_label("Lines").fill("x")
    place.get_by_role("button", name="Save").click()
    expect(page.get_by_text("cannot be the name of a list").first).to_be_visible()
    place.get_by_label("Name").fill("mine")
    place.get_by_role("button", name="Save").click()
    expect(place.get_by_text("(1)")).to_be_visible()
    place.get_by_label("Try a prompt").fill("__mine__!")
    place.get_by_role("button", name="Show what comes out").click()
    expect(place.get_by_role("gridcell", name="x!").first).to_be_visible()
    visit.shot("wildcards-tab")
    assert visit.errors == []


def test_mixer_and_prompt_are_one_thing(seen: Open) -> None:
    visit = seen()
    page = visit.page
    box = page.locator("#nz-prompt textarea")
    box.fill("a cat")
    mixer = panel(page, "lora")
    mixer.get_by_role("button", name="Add a style").click()
    mixer.locator(".lora-card", has_text="Ink outline").click()
    expect(box).to_have_value("a cat <lora:ink_outline>")
    mixer.locator(".lora-card", has_text="Watercolour").click()
    mixer.get_by_role("button", name="Close").click()
    expect(mixer.locator(".lora-row")).to_have_count(2)
    weight = mixer.get_by_role("spinbutton", name="Weight: Ink outline")
    weight.fill("0.5")
    weight.blur()
    expect(box).to_have_value("a cat <lora:ink_outline:0.5> <lora:watercolour>")
    box.fill("a cat <lora:watercolour:0.25>")
    expect(mixer.locator(".lora-row")).to_have_count(1)
    expect(mixer.get_by_role("spinbutton", name="Weight: Watercolour")).to_have_value("0.25")
    visit.shot("mixer")
    assert visit.errors == []


@pytest.mark.parametrize("width", [1024, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_used_by_all(seen: Open, width: int, scheme: str) -> None:
    visit = seen(width=width, color_scheme=scheme)
    page = visit.page
    page.locator("#nz-prompt textarea").fill("a cat <lora:ink_outline:0.5>")
    for name in ("lora", "styles", "wildcards"):
        panel(page, name)
    page.locator("#nz-panel-styles").get_by_role("button", name="Add a style").click()
    page.locator("#nz-panel-styles .styles-card").first.click()
    expect(page.locator(".lora-row")).to_have_count(1)
    page.add_script_tag(path=AXE)
    for tab in ("txt2img", "Styles", "Wildcards", "Frame", "Upscale"):
        open_tab(page, tab)
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), tab
        found = page.evaluate(
            "axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations"
            ".filter((v) => ['serious', 'critical'].includes(v.impact))"
            ".map((v) => v.id + ' ' + v.nodes.map((n) => n.target + ' ' + n.failureSummary).join(' | ')))"
        )
        assert found == [], tab
        visit.shot(f"extensions-{tab}-{width}-{scheme}")
    assert visit.errors == []
