"""A picture is on disk whole or not at all, and a finished one is not thrown away."""

import errno
import os
import subprocess
import time

import pytest
from PIL import Image

from modules.errors import StorageError, UserError
from modules.imaging import metadata
from modules.schema import GenerationRequest, Job, JobState
from modules.services.disk import PART, Disk, write_whole
from modules.services.outputs import Outputs
from tests.services.fakes import FaultyDisk

NOON = 1_763_812_800.0  # 2025-11-22 12:00 UTC


def job(job_id=7, **changes):
    values = {
        "id": job_id,
        "uid": "0a1b2c3d",
        "state": JobState.RUNNING,
        "request": GenerationRequest(prompt="é 猫", seed=5, width=8, height=8),
        "client": "",
        "attempts": 0,
        "created": NOON,
    }
    return Job(**{**values, **changes})


def image(colour="red"):
    return Image.new("RGB", (8, 8), colour)


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_name_follows_from_the_job(tmp_path):
    saved = Outputs(tmp_path).save(image(), job(), 2, "text")
    assert saved.path.startswith("txt2img/2025-11-2")
    assert saved.path.endswith("/00007-02-7-0a1b2c3d.png")
    assert (saved.index, saved.seed, saved.width) == (2, 7, 8)


def test_the_picture_says_what_made_it(tmp_path):
    saved = Outputs(tmp_path).save(image(), job(), 1, "text", model_hash="ff")
    found = metadata.decode(tmp_path / saved.path)
    assert found.request == job().request
    assert found.data["model_hash"] == "ff"
    assert files(tmp_path) == [os.path.basename(saved.path)]


def test_a_saved_picture_is_found_by_a_second_attempt(tmp_path):
    outputs = Outputs(tmp_path)
    saved = outputs.save(image(), job(), 1, "text")
    assert outputs.find(job(), 1) == saved
    assert outputs.find(job(), 0) is None
    assert outputs.find(job(uid="ffffffff"), 1) is None


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Shanghai"])
def test_it_is_found_in_another_time_zone(tmp_path, monkeypatch, zone):
    saved = Outputs(tmp_path).save(image(), job(), 0, "text")
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert Outputs(tmp_path).find(job(), 0) == saved
    finally:
        monkeypatch.undo()
        time.tzset()


def test_half_a_file_under_the_final_name_is_not_taken_for_a_picture(tmp_path):
    outputs = Outputs(tmp_path)
    path = tmp_path / outputs.save(image(), job(), 0, "text").path
    path.write_bytes(path.read_bytes()[:100])
    assert outputs.find(job(), 0) is None
    outputs.save(image(), job(), 0, "text")
    assert outputs.find(job(), 0) is not None


@pytest.mark.parametrize("method", ["half", "write", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_a_failing_disk_leaves_nothing_half_done(tmp_path, method, code):
    disk = FaultyDisk(method, 1, code)
    with pytest.raises(OSError):
        write_whole(tmp_path / "a" / "b.png", b"x" * 1000, disk)
    assert files(tmp_path) in ([], ["b.png"])
    write_whole(tmp_path / "a" / "b.png", b"x" * 1000, disk)
    assert files(tmp_path) == ["b.png"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "the disk reports an error"),
    ],
)
def test_a_refused_picture_is_kept_and_comes_home(tmp_path, code, words):
    disk = FaultyDisk("write", 0, code, only="outputs")
    outputs = Outputs(tmp_path / "outputs", disk=disk)
    with pytest.raises(StorageError, match=words) as error:
        outputs.save(image(), job(), 1, "text")
    kept = error.value.values["kept"]
    assert kept.is_file()
    assert str(kept) in str(error.value)
    assert str(kept) in error.value.message("zh")
    assert list(outputs.restore()) == []  # still no room
    assert kept.is_file()
    disk.method = "never"
    ((uid, saved),) = outputs.restore()
    assert (uid, saved.index, saved.seed, saved.infotext) == ("0a1b2c3d", 1, 6, "text")
    assert outputs.find(job(), 1) == saved.model_copy(update={"job_id": 7})
    assert not kept.exists()


def test_when_nothing_takes_it_the_error_says_what_was_found(tmp_path):
    outputs = Outputs(tmp_path / "outputs", disk=FaultyDisk("write", 0, errno.ENOSPC))
    with pytest.raises(StorageError, match=r"disk is full: .*outputs takes no more\. Make room"):
        outputs.save(image(), job(), 0, "text")


@pytest.mark.skipif(os.name == "nt" or os.getuid() != 0, reason="needs a file system of its own")
def test_a_really_full_and_a_really_read_only_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount")
    try:
        outputs = Outputs(folder, tmp_path / "unsaved")
        noise = Image.effect_noise((512, 512), 90)
        with pytest.raises(StorageError, match="disk is full"):
            outputs.save(noise, job(), 0, "text")
        assert files(folder) == []
        assert len(files(tmp_path / "unsaved")) == 1
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        with pytest.raises(StorageError, match="read-only"):
            outputs.save(image(), job(), 1, "text")
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_leftovers_are_removed(tmp_path):
    outputs = Outputs(tmp_path)
    kept = outputs.save(image(), job(), 0, "text").path
    (tmp_path / "txt2img" / f".x.png.1-ab{PART}").write_bytes(b"half")
    (tmp_path / "mine.part").write_bytes(b"not ours")
    assert outputs.clean() == 1
    assert files(tmp_path) == sorted([os.path.basename(kept), "mine.part"])


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "txt2img/../../secret", "", "none.png"]
)
def test_only_files_inside_are_handed_out(tmp_path, name):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "outputs").mkdir()
    with pytest.raises(UserError, match="not in the outputs folder"):
        Outputs(tmp_path / "outputs").path_of(tmp_path.__class__(name))


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    (tmp_path / "secret.png").write_text("x")
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "a.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(UserError):
        Outputs(tmp_path / "outputs").path_of(tmp_path.__class__("a.png"))


def test_the_file_is_on_the_disk_before_it_has_its_name(tmp_path):
    """Write and fsync, then rename, then fsync of the folder: in this order it survives a power cut."""
    calls = []

    class Noting(Disk):
        def write(self, path, data):
            calls.append("write")
            super().write(path, data)

        def replace(self, source, target):
            calls.append("replace")
            super().replace(source, target)

        def sync_folder(self, folder):
            calls.append("sync " + folder.name)
            super().sync_folder(folder)

    write_whole(tmp_path / "a" / "b", b"x", Noting())
    assert calls == ["sync " + tmp_path.name, "write", "replace", "sync a"]


def test_a_file_that_claims_to_be_enormous_is_passed_over(tmp_path, monkeypatch):
    """Beyond its limit Pillow raises what is neither an OSError nor a ValueError."""
    outputs = Outputs(tmp_path / "outputs")
    saved = outputs.save(image(), job(), 1, "text")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)
    assert outputs.find(job(), 1) is None
    assert list(outputs.described()) == []
    rescued = outputs.rescue_dir / "txt2img" / "huge.png"
    rescued.parent.mkdir(parents=True)
    rescued.write_bytes((outputs.folder / saved.path).read_bytes())
    assert list(outputs.restore()) == []
    assert rescued.is_file()
