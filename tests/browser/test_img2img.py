"""img2img in a real browser: a picture taken in, painted on and masked; what is sent to and fro; nothing lost on the way."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.conftest import Server, Visit, ready, wait_until
from tests.browser.test_page import _TOO_SMALL, _TOO_WIDE, serious

pytestmark = pytest.mark.browser
MODES = ("img2img", "Sketch", "Inpaint", "Inpaint sketch", "Outpaint", "Batch")
TEXT = (
    "a blue fish, (gold:1.2)\nNegative prompt: ugly\nSteps: 12, Sampler: Euler, CFG scale: 4.5, "
    "Seed: 77, Size: 192x128, Model: pocket"
)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    file = tmp_path / "source.png"
    image = Image.new("RGB", (200, 100), "navy")
    image.paste("orange", (100, 0, 200, 100))
    image.save(file)
    return file


def begin(page: Page, picture: Path) -> None:
    page.get_by_role("tab", name="img2img", exact=True).click()
    page.locator("#nz-img2img-editor input[type=file]").set_input_files(picture)
    page.locator(".nz-sheet img").wait_for()
    page.locator("#nz-img2img-prompt textarea").fill("a green frog")


def way(page: Page, name: str) -> None:
    mode = name.lower().replace(" ", "_")
    page.locator(f'#nz-img2img-mode input[value="{mode}"]').check()
    expect(page.locator("#nz-img2img-create")).to_have_attribute("data-mode", mode)


def stroke(page: Page, *points: tuple[float, float]) -> None:
    """Paint from point to point, each a share of the picture's sides."""
    box = page.locator(".nz-sheet canvas").bounding_box()
    assert box
    at = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in points]
    page.mouse.move(*at[0])
    page.mouse.down()
    for one in at[1:]:
        page.mouse.move(*one, steps=4)
    page.mouse.up()


def generate(page: Page) -> None:
    page.locator("#nz-img2img-generate").click()
    page.locator("#nz-img2img-canvas[data-kind=picture] .nz-result").wait_for()


def handed_in(server: Server, since: set[Path]) -> list[Image.Image]:
    found = set((server.folder / "data" / "inputs").glob("*.png")) - since
    return [Image.open(io.BytesIO(path.read_bytes())).convert("RGB") for path in sorted(found)]


def known(server: Server) -> set[Path]:
    return set((server.folder / "data" / "inputs").glob("*.png"))


def test_a_mask_is_white_where_it_was_painted(
    visit: Callable[..., Visit], server: Server, picture: Path
):
    seen = visit()
    page = seen.page
    begin(page, picture)
    way(page, "Inpaint")
    page.locator("#nz-img2img-generate").click()
    expect(page.locator("#nz-img2img-notice")).to_contain_text("Nothing is masked")
    before = known(server)
    stroke(page, (0.1, 0.5), (0.4, 0.5))
    stroke(page, (0.9, 0.5))
    page.get_by_role("button", name="Undo").click()
    generate(page)
    masks = handed_in(server, before)
    assert len(masks) == 1
    assert masks[0].size == (200, 100)
    assert masks[0].getpixel((50, 50)) == (255, 255, 255)
    assert masks[0].getpixel((180, 50)) == (0, 0, 0)  # undone
    assert masks[0].getpixel((50, 5)) == (0, 0, 0)
    assert seen.errors == []


def test_a_sketch_is_the_painted_picture_and_the_eraser_gives_the_original(
    visit: Callable[..., Visit], server: Server, picture: Path
):
    page = visit().page
    begin(page, picture)
    way(page, "Sketch")
    before = known(server)
    page.locator("[data-colour='#27ae60']").click()
    stroke(page, (0.1, 0.5), (0.9, 0.5))
    page.locator("[data-tool=eraser]").click()
    stroke(page, (0.75, 0.5), (0.9, 0.5))
    generate(page)
    (painted,) = handed_in(server, before)
    assert painted.getpixel((40, 50)) == (0x27, 0xAE, 0x60)
    assert painted.getpixel((170, 50)) == Image.open(picture).getpixel((170, 50))


def test_an_inpaint_sketch_is_the_painted_picture_and_its_mask(
    visit: Callable[..., Visit], server: Server, picture: Path
):
    seen = visit()
    page = seen.page
    begin(page, picture)
    way(page, "Inpaint sketch")
    before = known(server)
    page.locator("[data-colour='#27ae60']").click()
    stroke(page, (0.1, 0.4), (0.4, 0.4))
    generate(page)
    painted, mask = sorted(
        handed_in(server, before), key=lambda one: one.getpixel((50, 40)) == (255, 255, 255)
    )
    assert painted.getpixel((50, 40)) == (0x27, 0xAE, 0x60)
    assert painted.getpixel((180, 40)) == Image.open(picture).getpixel((180, 40))
    assert mask.getpixel((50, 40)) == (255, 255, 255)
    assert mask.getpixel((180, 40)) == (0, 0, 0)
    assert seen.errors == []


def test_resize_by_a_factor(visit: Callable[..., Visit], picture: Path):
    page = visit().page
    begin(page, picture)
    page.get_by_label("Size of the result").click()
    page.get_by_role("option", name="Resize by a factor").click()
    page.locator("#nz-img2img-resize-scale input[type=number]").fill("0.8")
    page.keyboard.press("Tab")
    expect(page.locator("#nz-img2img-resized")).to_have_text("200 × 100 → 160 × 80")
    generate(page)
    expect(page.locator("#nz-img2img-canvas .nz-facts").first).to_contain_text("160 × 80")


def test_a_click_on_a_textual_inversion_writes_its_name(visit: Callable[..., Visit]):
    page = visit().page
    page.locator("#nz-advanced button.label-wrap").click()
    prompt = page.locator("#nz-prompt textarea")
    prompt.fill("a red apple")
    page.locator("#nz-inversions button").click()
    expect(prompt).to_have_value("a red apple, badly drawn")
    expect(page.locator("#nz-prompt .nz-tokens")).to_have_text("8/75")  # three, a comma, and four


def test_a_reload_keeps_picture_strokes_and_fields(visit: Callable[..., Visit], picture: Path):
    page = visit().page
    begin(page, picture)
    way(page, "Inpaint")
    stroke(page, (0.2, 0.5), (0.4, 0.5))
    page.locator("#nz-img2img-denoise input[type=number]").fill("0.4")
    page.keyboard.press("Tab")
    page.wait_for_timeout(600)  # what is typed is stored a moment later
    page.reload()
    ready(page)
    page.get_by_role("tab", name="img2img", exact=True).click()
    page.locator(".nz-sheet canvas").wait_for()
    expect(page.locator("#nz-img2img-prompt textarea")).to_have_value("a green frog")
    expect(page.locator("#nz-img2img-denoise input[type=number]")).to_have_value("0.4")
    expect(page.locator("[data-tool=undo]")).to_be_enabled()
    alpha = """() => { const c = document.querySelector('.nz-sheet canvas');
        return c.getContext('2d').getImageData(60, 50, 1, 1).data[3]; }"""
    wait_until(lambda: page.evaluate(alpha) == 255)
    page.locator("[data-tool=undo]").click()
    wait_until(lambda: page.evaluate(alpha) == 0)


def test_from_a_result_to_img2img(visit: Callable[..., Visit]):
    seen = visit()
    page = seen.page
    seen.generate("a red apple")
    seen.wait_done()
    page.locator("#nz-canvas .nz-menu summary").click()
    page.locator("#nz-canvas .nz-menu-list").get_by_text("Inpaint", exact=True).click()
    expect(page.locator("#nz-img2img-create")).to_have_attribute("data-mode", "inpaint")
    page.locator(".nz-sheet canvas").wait_for()
    expect(page.locator("#nz-img2img-prompt textarea")).to_have_value("a red apple")
    expect(page.locator("#nz-img2img-width input")).to_have_value("128")
    assert seen.errors == []


def test_pasted_settings_fill_the_fields_and_can_be_undone(visit: Callable[..., Visit]):
    page = visit(permissions=["clipboard-read", "clipboard-write"]).page
    prompt = page.locator("#nz-prompt textarea")
    prompt.fill("what was there")
    page.wait_for_timeout(400)
    page.evaluate("(text) => navigator.clipboard.writeText(text)", TEXT)
    prompt.focus()
    page.keyboard.press("Control+V")
    expect(prompt).to_have_value("a blue fish, (gold:1.2)")
    expect(page.locator("#nz-negative textarea")).to_have_value("ugly")
    expect(page.locator("#nz-seed input")).to_have_value("77")
    expect(page.locator("#nz-width input")).to_have_value("192")
    page.locator("#nz-notice").get_by_role("button", name="Undo").click()
    expect(prompt).to_have_value("what was there")
    # Words are only words.
    page.evaluate("(text) => navigator.clipboard.writeText(text)", " and more")
    prompt.focus()
    page.keyboard.press("Control+End")
    page.keyboard.press("Control+V")
    expect(prompt).to_have_value("what was there and more")


def test_weights_and_order_by_keys(visit: Callable[..., Visit]):
    page = visit().page
    prompt = page.locator("#nz-prompt textarea")

    def at(text: str, place: int, *keys: str) -> str:
        prompt.fill(text)
        prompt.evaluate("(n, place) => n.setSelectionRange(place, place)", place)
        for key in keys:
            page.keyboard.press(key)
        return prompt.input_value()

    up, down = "Control+ArrowUp", "Control+ArrowDown"
    assert at("a red apple", 3, up) == "a (red:1.1) apple"
    assert at("a red apple", 3, up, up) == "a (red:1.2) apple"
    assert at("a red apple", 3, up, down) == "a red apple"
    assert at("a (red fox:1.5) b", 5, down) == "a (red fox:1.4) b"
    assert at("a (red) b", 4, up) == "a (red:1.2) b"
    assert at("<lora:x:0.8> b", 4, up) == "<lora:x:0.85> b"
    assert at("one, two, three", 6, "Alt+ArrowLeft") == "two, one, three"
    assert at("one, (two, 2), three", 7, "Alt+ArrowRight") == "one, three, (two, 2)"
    assert page.url.count("#") == 0


def test_the_counter_counts(visit: Callable[..., Visit]):
    page = visit().page
    page.locator("#nz-prompt textarea").fill("a red apple")
    expect(page.locator("#nz-prompt .nz-tokens")).to_have_text("3/75")


def test_png_info_and_the_way_back(visit: Callable[..., Visit], server: Server):
    seen = visit()
    page = seen.page
    seen.generate("a red apple, seen from above")
    seen.wait_done()
    file = max((server.folder / "outputs").rglob("*.png"), key=lambda path: path.stat().st_mtime)
    page.get_by_role("tab", name="PNG info").click()
    page.locator("#nz-info input[type=file]").set_input_files(file)
    expect(page.locator(".nz-quote").first).to_have_text("a red apple, seen from above")
    expect(page.locator(".nz-table tr", has_text="Steps")).to_contain_text("20")
    assert serious(page) == []
    page.get_by_role("button", name="Send to img2img").click()
    expect(page.locator("#nz-img2img-prompt textarea")).to_have_value(
        "a red apple, seen from above"
    )
    page.locator(".nz-sheet img").wait_for()
    assert seen.errors == []


def test_a_batch_is_a_job_for_each(
    visit: Callable[..., Visit], server: Server, picture: Path, tmp_path: Path
):
    seen = visit()
    page = seen.page
    (tmp_path / "broken.png").write_text("no picture")
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "two.png")
    page.get_by_role("tab", name="img2img", exact=True).click()
    way(page, "Batch")
    page.locator(".nz-batch[data-kind=images] input[type=file]").set_input_files(
        [picture, tmp_path / "broken.png", tmp_path / "two.png"]
    )
    expect(page.locator(".nz-bad-list")).to_contain_text("broken.png")
    expect(page.locator(".nz-batch-list img")).to_have_count(2)
    page.locator("#nz-img2img-prompt textarea").fill("a green frog")
    with server.held():
        page.locator("#nz-img2img-generate").click()
        expect(page.locator("#nz-img2img-notice")).to_contain_text("2 jobs are in the queue")
    lists = "fetch('./ui/lists').then((r) => r.json()).then((l) => l.active.length + l.past.length)"
    wait_until(lambda: page.evaluate(lists) == 2)


def test_axe_and_widths_in_every_way_of_work(visit: Callable[..., Visit], picture: Path):
    seen = visit(reduced_motion="reduce")
    page = seen.page
    begin(page, picture)
    for name in MODES:
        way(page, name)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(100)
            assert serious(page) == [], f"{name}, {scheme}"
            seen.shot(f"img2img-{name}-{scheme}")
    for width in (1440, 1024, 390):
        page.set_viewport_size({"width": width, "height": 844})
        for name in MODES:
            way(page, name)
            page.wait_for_timeout(100)
            assert page.evaluate(_TOO_WIDE) == [0], f"{name} at {width}"
    assert page.evaluate(_TOO_SMALL) == []


def test_chinese_leaves_no_key_untranslated(visit: Callable[..., Visit], picture: Path):
    page = visit(locale="zh-CN").page
    page.get_by_role("tab", name="图生图").click()
    page.locator("#nz-img2img-editor input[type=file]").set_input_files(picture)
    page.locator(".nz-sheet img").wait_for()
    for accordion in page.locator("#nz-img2img-side button.label-wrap:visible").all():
        accordion.click()
    page.wait_for_timeout(300)
    words = page.evaluate(
        "document.body.innerText + [...document.querySelectorAll('[aria-label],[placeholder],[title]')]"
        ".map((n) => n.getAttribute('aria-label') + n.getAttribute('placeholder') + n.title).join()"
    )
    for mark in ("ui_", "ui.", "__i18n__", "editor.", "img2img."):
        assert mark not in words, mark
