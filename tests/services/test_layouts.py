"""Grids as jobs: laid out and checked when they are queued, made cell by cell, gone on with after a crash."""

import sqlite3

import pytest
from PIL import Image

from modules.errors import LimitError, Skipped, UserError
from modules.imaging import metadata
from modules.schema import (
    Cell,
    GenerationRequest,
    ImageSaved,
    JobState,
    Layout,
    LayoutAxis,
    Limits,
    StepDone,
)
from modules.services.generation import GenerationService
from modules.services.jobs import MIGRATIONS, JobStore
from modules.services.outputs import Outputs
from modules.services.rebuild import mend
from modules.services.reproduce import reproduce
from tests.services.fakes import FakeGenerate, FakePlugins, colour, house, service


def by_steps(*steps, y=("",), **more):
    """Lays a request out over its steps, across, and its seeds, down."""

    def laid_out(request: GenerationRequest) -> Layout:
        cells = [
            Cell(
                request=request.replace(steps=count, seed=int(seed) if seed else request.seed),
                at=(at, row, 0),
            )
            for row, seed in enumerate(y)
            for at, count in enumerate(steps)
        ]
        labels = tuple(str(count) for count in steps)
        return Layout(
            x=LayoutAxis(title="Steps", title_zh="步数", labels=labels),
            y=LayoutAxis(title="Seed" if y[0] else "", labels=tuple(y)),
            cells=tuple(cells),
            **more,
        )

    return laid_out


@pytest.fixture
def here(tmp_path):
    made = house(tmp_path, FakeGenerate())
    yield made
    made.studio.close()


def test_extensions_refuse_a_cell_and_not_the_whole(here):
    seen = []

    def refuse(request, family):
        seen.append((request.steps, request.seed, family))
        if request.steps == bad:
            raise UserError("Not so many.")

    here.plugins.refuse = refuse
    here.plugins.grid = by_steps(2, 4)
    bad = 4
    with pytest.raises(UserError, match=r"4.*Not so many"):
        here.studio.submit(GenerationRequest(prompt="a cat", steps=9))
    assert sum(here.studio.counts().values()) == 0
    bad = 9  # the request as a whole is not made
    seen.clear()
    job = here.studio.submit(GenerationRequest(prompt="a cat", steps=9))
    assert seen == [(2, job.request.seed, "sd1"), (4, job.request.seed, "sd1")]
    here.plugins.grid = lambda request: None
    with pytest.raises(UserError, match="Not so many"):
        here.studio.submit(GenerationRequest(prompt="a cat", steps=9))


def opened(here, picture):
    return Image.open(here.studio.picture_file(picture.id))


def test_a_grid_is_one_job_with_a_picture_for_each_cell_and_a_sheet(here):
    here.plugins.grid = by_steps(2, 3, y=("5", "6"))
    job = here.studio.submit(GenerationRequest(prompt="cats", batch_count=3, batch_size=2))
    assert (job.cells, job.sheets, job.wanted, job.request.pictures) == (4, 1, 5, 1)
    done = here.studio.run(job.id)
    assert done.state is JobState.DONE
    assert [(each.index, each.seed) for each in done.pictures] == [
        (0, 5), (1, 5), (2, 6), (3, 6), (4, job.request.seed),
    ]  # fmt: skip
    for picture in done.pictures[:4]:
        asked = here.studio.request_of(picture)
        with opened(here, picture) as image:
            assert image.getpixel((0, 0)) == colour(asked, 0)
            said = metadata.decode(image)
        assert said.exact and said.request == asked
        assert f"Steps: {asked.steps}" in (said.infotext or "")
    with opened(here, done.pictures[4]) as sheet:
        assert sheet.width > 2 * 64 and sheet.height > 2 * 64
        said = metadata.decode(sheet)
    assert said.request == job.request and said.data["sheet"] is True


def test_cells_share_the_seed_that_was_drawn_and_what_is_open_is_filled_in(here):
    here.plugins.grid = by_steps(2, 3)
    job = here.studio.submit(GenerationRequest())
    layout = here.studio.layout(job.id)
    assert layout is not None
    assert {cell.request.seed for cell in layout.cells} == {job.request.seed}
    assert all(cell.request.model == "tiny" and cell.request.width == 64 for cell in layout.cells)
    here.plugins.grid = None
    plain = here.studio.submit(GenerationRequest())
    assert plain.cells == 0 and here.studio.layout(plain.id) is None


def test_a_wrong_cell_is_named_before_anything_is_queued(here):
    here.plugins.grid = by_steps(2, 9999)
    with pytest.raises(UserError) as caught:
        here.studio.submit(GenerationRequest())
    assert "Steps 9999" in caught.value.message("en") and "150" in caught.value.message("en")
    assert "步数 9999" in caught.value.message("zh")
    assert here.studio.jobs() == []


def test_too_many_cells_are_refused(tmp_path):
    here = house(tmp_path, limits=Limits(max_cells=3))
    here.plugins.grid = by_steps(1, 2, 3, 4)
    with pytest.raises(LimitError, match="4 pictures; one grid has at most 3"):
        here.studio.submit(GenerationRequest())
    assert here.studio.jobs() == []
    here.studio.close()


def test_progress_counts_cells(tmp_path):
    here = house(tmp_path)
    here.plugins.grid = by_steps(1, 2)
    job = here.studio.submit(GenerationRequest())
    assert here.studio.progress(job.id).batches == 2
    claimed = here.store.claim("me")
    assert claimed is not None and claimed.layout is not None
    events = []
    service(tmp_path).run(claimed, events.append)
    steps = [
        (each.batch, each.batches, each.steps) for each in events if isinstance(each, StepDone)
    ]
    assert steps == [(0, 2, 1), (1, 2, 2), (1, 2, 2)]
    assert [each.index for each in events if isinstance(each, ImageSaved)] == [0, 1, 2]
    here.studio.close()


class Dies(Exception):
    """As the process does: nothing after it happens."""


def test_after_a_crash_only_what_is_missing_is_made(tmp_path):
    here = house(tmp_path)
    here.plugins.grid = by_steps(1, 2, 3)
    here.studio.submit(GenerationRequest(seed=9))
    job = here.store.claim("me")
    assert job is not None

    def die(stage, step):
        if step == 2:
            raise Dies

    first, second = FakeGenerate(before=die), FakeGenerate()
    saved = []
    with pytest.raises(Dies):
        service(tmp_path, first).run(job, saved.append)
    assert [each.index for each in saved if isinstance(each, ImageSaved)] == [0]
    (again,) = here.store.recover()
    assert again.state is JobState.QUEUED
    job = here.store.claim("me")
    assert job is not None
    events = []
    service(tmp_path, second).run(job, events.append)
    assert len(second.calls) == 2, "the finished cell is not made again"
    assert [each.index for each in events if isinstance(each, ImageSaved)] == [0, 1, 2, 3]
    here.studio.close()


def test_cells_are_made_in_the_order_that_loads_least(tmp_path):
    here = house(tmp_path)

    def laid_out(request):
        cells = [
            Cell(request=request.replace(prompt=prompt, seed=seed), at=(at, row, 0))
            for row, seed in enumerate((1, 2))
            for at, prompt in enumerate(("a", "b"))
        ]
        labels = ("0", "1")
        return Layout(x=LayoutAxis(labels=labels), y=LayoutAxis(labels=labels), cells=tuple(cells))

    here.plugins.grid = laid_out
    job = here.studio.submit(GenerationRequest())
    claimed = here.store.claim("me", job.id)
    assert claimed is not None
    events = []
    service(tmp_path).run(claimed, events.append)
    assert [each.index for each in events if isinstance(each, ImageSaved)] == [0, 2, 1, 3, 4]
    here.studio.close()


def test_a_grid_may_do_without_a_sheet_and_prompts_flow(here):
    here.plugins.grid = by_steps(1, 2, sheet=False, flows=True)
    job = here.studio.submit(GenerationRequest())
    assert len(here.studio.run(job.id).pictures) == 2


def test_a_cell_can_be_made_again_and_a_sheet_says_why_not(here, tmp_path):
    here.plugins.grid = by_steps(2, 3)
    job = here.studio.submit(GenerationRequest(seed=77))
    done = here.studio.run(job.id)
    maker: GenerationService = service(tmp_path, plugins=FakePlugins())
    assert reproduce(here.studio.picture_file(done.pictures[1].id), maker).identical
    with pytest.raises(UserError, match="a sheet of many"):
        reproduce(here.studio.picture_file(done.pictures[2].id), maker)


def test_a_failed_cell_keeps_the_others_and_again_goes_on(tmp_path):
    fails = {"now": True}

    def fail(stage, step):
        if step == 3 and fails["now"]:
            raise UserError("error.memory")

    here = house(tmp_path, FakeGenerate(before=fail))
    here.plugins.grid = by_steps(2, 3)
    job = here.studio.submit(GenerationRequest())
    failed = here.studio.run(job.id)
    assert failed.state is JobState.FAILED and len(failed.pictures) == 1
    fails["now"] = False
    here.studio.retry(job.id)
    assert [each.index for each in here.studio.run(job.id).pictures] == [0, 1, 2]
    here.studio.close()


def test_a_cell_that_is_skipped_is_empty_on_the_sheet(tmp_path):
    def skip(stage, step):
        if step == 3:
            raise Skipped

    here = house(tmp_path, FakeGenerate(before=skip))
    here.plugins.grid = by_steps(2, 3, 1)
    job = here.studio.submit(GenerationRequest())
    done = here.studio.run(job.id)
    assert done.state is JobState.DONE
    assert [each.index for each in done.pictures] == [0, 2, 3]
    assert [each["key"] for each in done.warnings] == ["warning.skipped"]
    here.studio.close()


def test_cells_say_what_they_are_also_when_the_queue_was_made_again_from_them(tmp_path):
    here = house(tmp_path, FakeGenerate())
    here.plugins.grid = by_steps(2, 3)
    job = here.studio.submit(GenerationRequest(seed=4))
    here.studio.run(job.id)
    here.studio.close()
    (tmp_path / "data" / "noisette.sqlite3").write_bytes(b"no database")
    assert mend(tmp_path / "data" / "noisette.sqlite3", Outputs(tmp_path / "outputs")) is not None
    here = house(tmp_path)
    pictures = here.studio.job(job.id).pictures
    assert [here.studio.request_of(each).steps for each in pictures] == [2, 3, 3]
    assert here.studio.request_of(pictures[2]) == job.request, "of the sheet it is the grid's"
    here.studio.close()


def test_a_layout_that_cannot_be_read_fails_its_job_alone(tmp_path):
    here = house(tmp_path)
    here.plugins.grid = by_steps(2, 3)
    broken = here.studio.submit(GenerationRequest())
    here.plugins.grid = None
    whole = here.studio.submit(GenerationRequest())
    with sqlite3.connect(tmp_path / "data" / "noisette.sqlite3") as db:
        db.execute("UPDATE layouts SET layout = '{}'")
    db.close()
    claimed = here.store.claim("me")
    assert claimed is not None and claimed.id == whole.id
    assert here.studio.job(broken.id).state is JobState.FAILED
    assert here.studio.layout(broken.id) is None
    here.studio.close()


def test_a_file_of_the_version_before_is_brought_up_to_date(tmp_path, monkeypatch):
    with monkeypatch.context() as earlier:
        earlier.setattr("modules.services.jobs.MIGRATIONS", MIGRATIONS[:2])
        db = sqlite3.connect(tmp_path / "db")
        for script in MIGRATIONS[:2]:
            db.executescript(script)
        db.execute("PRAGMA user_version = 2")
        db.execute(
            "INSERT INTO jobs (uid, state, request, client, created, place) "
            "VALUES ('a', 'queued', '{}', 'x', 1.0, 1)"
        )
        db.commit()
        db.close()
    store = JobStore(tmp_path / "db")
    job = store.get(1)
    assert (job.cells, job.sheets, job.wanted) == (0, 0, 1)
    store.close()
