"""img2img over many pictures: which get a job, which are left out, and who may name a folder."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from PIL import Image

from modules.schema import JobState
from modules.ui.batch import BatchHandlers
from modules.ui.fields import Tab
from tests.ui.fake_studio import FakeStudio


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[FakeStudio]:
    studio = FakeStudio(tmp_path, seconds_per_step=0)
    yield studio
    studio.close()


def png(colour: str) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(data, "PNG")
    return data.getvalue()


def asker(*, local: bool = True) -> SimpleNamespace:
    host = "127.0.0.1" if local else "192.168.1.7"
    return SimpleNamespace(
        cookies={}, headers={"host": "localhost:7860"}, client=SimpleNamespace(host=host)
    )


def submit(studio: FakeStudio, *, local: bool = True, **values: object) -> dict[str, object]:
    given = {"prompt": "x", "steps": 1, "img2img__mode": "batch", "inpaint__blur": 2, **values}
    with gr.Blocks():
        handlers = BatchHandlers(studio, Tab("img2img"), {"prompt": gr.Textbox()})
    return handlers.submit(asker(local=local), **given)


def uploaded(studio: FakeStudio, **pictures: str) -> str:
    rows = [
        {"name": f"{n}.png", "id": studio.inputs.of("").add(png(c))} for n, c in pictures.items()
    ]
    return json.dumps(rows)


def sources(studio: FakeStudio) -> list[tuple[str, str | None]]:
    """Image and mask of each job, the oldest first."""
    found = []
    for job in studio.jobs(newest_first=False):
        group = job.request.img2img
        found.append((group.image, group.inpaint.mask if group.inpaint else None))
    return found


def test_a_job_for_each_uploaded_picture(studio: FakeStudio):
    text = uploaded(studio, a="red", b="blue")
    told = submit(studio, batch__images=text)
    assert (told["kind"], told["count"], told["left"]) == ("submitted", 2, 0)
    assert sources(studio) == [(row["id"], None) for row in json.loads(text)]


def test_masks_belong_by_name_and_who_has_none_is_left_out(studio: FakeStudio):
    images = uploaded(studio, a="red", b="blue", c="green")
    masks = uploaded(studio, a="white", B="black")
    told = submit(studio, batch__images=images, batch__masks=masks)
    assert told["count"] == 2
    assert [each["name"] for each in told["skipped"]] == ["c.png"]
    ids, mask_ids = ([row["id"] for row in json.loads(text)] for text in (images, masks))
    assert sources(studio) == [(ids[0], mask_ids[0]), (ids[1], mask_ids[1])]


def test_a_single_mask_serves_all(studio: FakeStudio):
    masks = uploaded(studio, other="white")
    submit(studio, batch__images=uploaded(studio, a="red", b="blue"), batch__masks=masks)
    assert {mask for _, mask in sources(studio)} == {json.loads(masks)[0]["id"]}


def test_a_folder_whose_broken_files_are_left_out(studio: FakeStudio, tmp_path: Path):
    folder = tmp_path / "图片 pictures"
    folder.mkdir()
    (folder / "b.png").write_bytes(png("blue"))
    (folder / "a.jpg").write_bytes(png("red"))
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("not looked at")
    told = submit(studio, batch__folder=str(folder))
    assert told["count"] == 2
    assert [each["name"] for each in told["skipped"]] == ["broken.png"]
    assert told["skipped"][0]["why"].keys() == {"en", "zh"}
    assert sources(studio)[0][0] == studio.inputs.of("").add(png("red"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "There is no picture to work on"),
        ({"batch__images": "nonsense"}, "cannot be read"),
        ({"batch__images": '[{"name": "x", "id": "../../etc/passwd"}]'}, "cannot be read"),
        ({"batch__images": "[" * 100_000}, "cannot be read"),
        ({"batch__folder": "/nowhere/at/all"}, "/nowhere/at/all"),
        ({"batch__folder": "/etc", "local": False}, "from the computer that Noisette runs on"),
    ],
)
def test_what_is_refused(studio: FakeStudio, values: dict[str, object], said: str):
    told = submit(studio, **values)
    assert told["kind"] == "error"
    assert said in told["text"]["en"]
    assert sum(studio.counts().values()) == 0


def test_masks_that_fit_no_picture(studio: FakeStudio):
    told = submit(
        studio,
        batch__images=uploaded(studio, a="red"),
        batch__masks=uploaded(studio, y="white", z="black"),
    )
    assert "has a mask of the same name" in told["text"]["en"]
    assert studio.counts().get(JobState.QUEUED, 0) == 0


def test_the_other_modes_are_one_job(studio: FakeStudio):
    image = studio.inputs.of("").add(png("red"))
    told = submit(studio, img2img__mode="img2img", img2img__image=image)
    assert told["kind"] == "submitted"
    assert sources(studio) == [(image, None)]


def test_resize_by_a_factor_counts_for_each_picture(studio: FakeStudio):
    text = uploaded(studio, a="red", b="blue")
    by = {"resize__way": "by", "resize__scale": 4, "width": 128, "height": 128}
    assert submit(studio, batch__images=text, **by)["count"] == 2
    one = json.loads(text)[0]["id"]
    single = {"img2img__mode": "img2img", "img2img__image": one}
    assert submit(studio, **single, **{**by, "resize__way": "to"})["kind"] == "submitted"
    assert submit(studio, **single, **by)["kind"] == "submitted"
    sizes = [(job.request.width, job.request.height) for job in studio.jobs(newest_first=False)]
    assert sizes == [(64, 64), (64, 64), (128, 128), (64, 64)]
    for scale in (0, -1, 5, "x", float("nan")):
        assert submit(studio, **single, **{**by, "resize__scale": scale})["kind"] == "error"


def test_an_inpaint_sketch_is_an_inpainting(studio: FakeStudio):
    painted = studio.inputs.of("").add(png("red"))
    mask = studio.inputs.of("").add(png("white"))
    given = {"img2img__mode": "inpaint_sketch", "img2img__image": painted}
    assert submit(studio, **given)["kind"] == "error"
    assert submit(studio, **given, inpaint__mask=mask)["kind"] == "submitted"
    assert sources(studio) == [(painted, mask)]


def test_one_that_is_refused_keeps_the_others_out(studio: FakeStudio):
    """Here the second is nobody's picture any more."""
    rows = json.loads(uploaded(studio, a="red", b="blue"))
    client = "guest:" + "a" * 32
    studio.inputs._rows.hand_in(client, [rows[0]["id"]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("modules.ui.batch.Visitors.client", lambda request: client)
        told = submit(studio, batch__images=json.dumps(rows))
        assert told["kind"] == "error", told
        assert not studio.jobs()
        studio.inputs._rows.hand_in(client, [rows[1]["id"]])
        assert submit(studio, batch__images=json.dumps(rows))["count"] == 2
