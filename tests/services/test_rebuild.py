"""A damaged queue costs what waited, and no picture."""

import os

import pytest
from PIL import Image

from modules.errors import StorageError
from modules.schema import GenerationRequest, JobState
from modules.services.jobs import MIGRATIONS, JobStore
from modules.services.outputs import Outputs
from modules.services.rebuild import OWNER, mend
from tests.services.fakes import house


@pytest.fixture
def worked(tmp_path):
    """An installation that has made four pictures in two jobs; the jobs as they were."""
    here = house(tmp_path)
    here.studio.start()
    asked = GenerationRequest(prompt="a cat 猫", batch_count=2)
    jobs = [here.finish(here.studio.submit(asked).id) for _ in range(3)]
    here.studio.close()
    for picture in jobs[1].pictures:  # a job without pictures leaves a gap in the numbers
        (tmp_path / "outputs" / picture.path).unlink()
    return tmp_path / "data" / "noisette.sqlite3", [jobs[0], jobs[2]]


def overwrite(path, at, size):
    data = bytearray(path.read_bytes())
    data[at : at + size] = b"\xff" * len(data[at : at + size])
    path.write_bytes(data)


@pytest.mark.parametrize("damage", ["header", "page", "cut", "text"])
def test_pictures_are_indexed_anew(worked, tmp_path, damage):
    path, jobs = worked
    outputs = Outputs(tmp_path / "outputs")
    assert mend(path, outputs) is None  # a sound one is left alone
    match damage:
        case "header":
            overwrite(path, 0, 200)
        case "page":
            overwrite(path, 4096, 8192)
        case "cut":
            os.truncate(path, path.stat().st_size // 2)
        case "text":
            path.write_text("this is no database at all" * 100)
    before = path.read_bytes()
    (tmp_path / "outputs" / "mine.png").write_bytes(b"no picture")
    Image.new("RGB", (8, 8)).save(tmp_path / "outputs" / "theirs.png")

    notice = mend(path, outputs)
    assert "4 pictures of 2 jobs" in str(notice) and "2 个任务的 4 张图片" in notice.message("zh")
    (kept,) = path.parent.glob("damaged-*.sqlite3")
    assert kept.read_bytes() == before
    store = JobStore(path)
    store.check()
    for job in jobs:
        found = store.get(job.id)
        assert (found.uid, found.request, found.state) == (job.uid, job.request, JobState.DONE)
        assert found.client == OWNER
        for was, now in zip(job.pictures, found.pictures, strict=True):
            same = {"index", "path", "seed", "infotext", "width", "height"}
            assert was.model_dump(include=same) == now.model_dump(include=same)
    assert store.submit(jobs[0].request).id == 4
    store.close()
    here = house(tmp_path)  # and all goes on
    here.studio.start()
    assert here.finish(4).state is JobState.DONE
    here.studio.close()
    assert mend(path, outputs) is None


def test_nothing_is_done_where_nothing_is(tmp_path):
    assert mend(tmp_path / "none.sqlite3", Outputs(tmp_path / "outputs")) is None
    assert not list(tmp_path.iterdir())


def test_a_newer_file_is_no_damaged_one(worked, tmp_path):
    path, _ = worked
    store = JobStore(path)
    store._connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    store.close()
    with pytest.raises(StorageError, match="newer version"):
        mend(path, Outputs(tmp_path / "outputs"))
    assert path.exists() and not list(path.parent.glob("damaged-*"))
