"""A backup is whole or not there; a restore ends in the old state or in the new one, wherever it is broken off."""

import errno
import json
import os
import stat
import zipfile
from contextlib import closing

import pytest

from modules import cli
from modules.errors import StorageError, UserError
from modules.schema import GenerationRequest
from modules.services.backup import MANIFEST, verify, write_backup
from modules.services.instance import InstanceLock
from modules.services.jobs import JobStore
from modules.services.restore import restore, resume
from modules.settings import Settings
from tests.services.fakes import FaultyDisk, house, saved


def fill(folder, prompt):
    """An installation that remembers something; its settings."""
    settings = Settings(data_dir=folder)
    with closing(JobStore(settings.database)) as store:
        job = store.submit(GenerationRequest(prompt=prompt, seed=1), "anna")
        store.add_picture(job.id, saved(0, "txt2img/a.png"))
    (folder / "settings.json").write_text(json.dumps({"default_model": prompt}))
    for name in ("data/extensions/x/y.txt", "data/logs/noisette.log", "outputs/txt2img/a.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(prompt)
    return settings


def remembered(folder):
    """What the installation remembers."""
    settings = Settings.load({"data_dir": folder}, environ={})
    with closing(JobStore(settings.database)) as store:
        prompts = [job.request.prompt for job in store.list()]
        pictures = [picture.path.as_posix() for picture in store.pictures()]
    files = {
        path.relative_to(folder).as_posix()
        for path in (folder / "data" / "extensions").rglob("*")
        if path.is_file()
    }
    return prompts, pictures, settings.default_model, files


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("old"), "old")


@pytest.fixture(scope="module")
def file(old, tmp_path_factory):
    file = tmp_path_factory.mktemp("backup") / "backup.zip"
    write_backup(old, file, pictures=True)
    return file


def test_there_and_back_into_an_empty_folder(old, file, tmp_path):
    assert remembered(old.data_dir)[0] == ["old"]
    back = restore(Settings(data_dir=tmp_path / "new"), file)
    assert back.before is None and back.summary.files == 4
    assert remembered(tmp_path / "new") == remembered(old.data_dir)
    assert (tmp_path / "new" / "outputs" / "txt2img" / "a.png").read_text() == "old"
    assert not (tmp_path / "new" / "data" / "logs").exists()


def test_what_was_there_is_kept_aside_and_pictures_are_added_to(file, tmp_path):
    here = fill(tmp_path / "new", "new")
    (here.data_dir / "data" / "extensions" / "x" / "only-new.txt").write_text("new")
    back = restore(here, file)
    assert remembered(here.data_dir) == (
        ["old"],
        ["txt2img/a.png"],
        "old",
        {"data/extensions/x/y.txt"},
    )
    assert (here.outputs_dir / "txt2img" / "a.png").read_text() == "new"  # never overwritten
    assert json.loads((back.before / "settings.json").read_text()) == {"default_model": "new"}
    assert (back.before / "extensions" / "x" / "only-new.txt").exists()
    with closing(JobStore(back.before / "noisette.sqlite3")) as store:
        assert store.get(1).request.prompt == "new"
    again = write_backup(here, tmp_path / "again.zip")
    assert again.files == 3  # neither the pictures nor what was kept aside


def test_of_a_program_that_works(tmp_path):
    here = house(tmp_path / "running")
    try:
        here.studio.start()
        jobs = [here.studio.submit(GenerationRequest(prompt="a cat")) for _ in range(3)]
        write_backup(Settings(data_dir=tmp_path / "running"), tmp_path / "b.zip")
        for job in jobs:
            here.finish(job.id)
    finally:
        here.studio.close()
    restore(Settings(data_dir=tmp_path / "new"), tmp_path / "b.zip")
    assert remembered(tmp_path / "new")[0] == ["a cat"] * 3


@pytest.mark.parametrize("at", range(1, 8))
def test_broken_off_at_every_move_it_is_gone_on_with(file, tmp_path, at):
    here = fill(tmp_path / "new", "new")
    (here.data_dir / "data" / "drafts.sqlite3-wal").write_text("of the old one")
    moves = []

    def move(source, target):
        moves.append(source.name)
        if len(moves) == at:
            raise KeyboardInterrupt  # as good as a death: nothing after this line runs
        os.replace(source, target)

    with pytest.raises(KeyboardInterrupt):
        restore(here, file, move)
    with InstanceLock(here.data_dir).acquire():
        assert resume(here.data_dir)
        assert not resume(here.data_dir)
    assert remembered(here.data_dir)[0] == ["old"]
    assert not (here.data_dir / "data" / "drafts.sqlite3-wal").exists()
    (before,) = (here.data_dir / "data").glob("before-restore-*")
    assert (before / "extensions" / "x" / "y.txt").read_text() == "new"
    assert not (here.data_dir / "data" / ".restoring").exists()


def test_a_running_program_is_left_alone(file, tmp_path):
    here = fill(tmp_path / "new", "new")
    with (
        InstanceLock(here.data_dir).acquire("http://127.0.0.1:7860/"),
        pytest.raises(UserError, match=str(os.getpid())),
    ):
        restore(here, file)
    assert remembered(here.data_dir)[0] == ["new"]


def rewritten(file, target, change):
    """The same archive after `change(entries, manifest)`."""
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(entries.pop(MANIFEST))
    change(entries, manifest)
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
        archive.writestr(MANIFEST, json.dumps(manifest))
    return target


def put(name):
    def change(entries, manifest):
        manifest["files"][getattr(name, "filename", name)] = manifest["files"]["settings.json"]
        entries[name] = entries["settings.json"]

    return change


def link():
    info = zipfile.ZipInfo("data/link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def spoil(entries, manifest):
    entries["settings.json"] = b"{ }"


def bomb(entries, manifest):
    entries["settings.json"] = b" " * 10_000_000


def newer(entries, manifest):
    manifest["format"] = 99


def lose(entries, manifest):
    del entries["settings.json"]


def smuggle(entries, manifest):
    entries["data/more.txt"] = b"not in the list"


def other(entries, manifest):
    manifest["noisette"] = "something else"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (put("../evil.txt"), "outside"),
        (put("data/../../evil.txt"), "outside"),
        (put("/tmp/evil.txt"), "outside"),
        (put("data\\..\\evil.txt"), "outside"),
        (put("C:/evil.txt"), "outside"),
        (put("data/CON"), "outside"),
        (put("webui.py"), "outside"),
        (put("modules/app.py"), "outside"),
        (put("data/instance.lock"), "outside"),
        (put(link()), "outside"),
        (spoil, "damaged"),
        (bomb, "damaged"),
        (lose, "damaged"),
        (smuggle, "damaged"),
        (newer, "newer"),
        (other, "none"),
    ],
)
def test_what_is_no_sound_backup_changes_nothing(file, tmp_path, change, key):
    here = fill(tmp_path / "new", "new")
    bad = rewritten(file, tmp_path / "bad.zip", change)
    with pytest.raises(UserError) as caught:
        restore(here, bad)
    assert caught.value.key == f"error.backup.{key}"
    assert remembered(here.data_dir)[0] == ["new"]
    assert not list(tmp_path.rglob("evil.txt")) and not list(tmp_path.rglob(".restoring"))


@pytest.mark.parametrize("fault", ["cut", "flipped", "empty", "picture", "missing"])
def test_damaged_files(file, tmp_path, fault):
    data = bytearray(file.read_bytes())
    bad = tmp_path / "bad.zip"
    match fault:
        case "cut":
            bad.write_bytes(data[: len(data) // 2])
        case "flipped":
            with zipfile.ZipFile(file) as archive:
                at = archive.getinfo("data/noisette.sqlite3").header_offset + 200
            data[at] ^= 255
            bad.write_bytes(data)
        case "empty":
            bad.write_bytes(b"")
        case "picture":
            bad.write_bytes(b"\x89PNG")
    with pytest.raises(UserError, match=r"bad\.zip"):
        verify(bad)


def test_a_damaged_database_gives_no_backup(old, tmp_path):
    here = Settings(data_dir=tmp_path / "new")
    here.database.parent.mkdir(parents=True)
    data = bytearray(old.database.read_bytes())
    data[4096:8192] = b"\xff" * 4096
    here.database.write_bytes(data)
    with pytest.raises(StorageError, match="damaged"):
        write_backup(here, tmp_path / "b.zip")
    assert not list(tmp_path.glob("*.zip")) and not list(tmp_path.glob(".*"))


def test_a_full_disk_leaves_nothing(old, tmp_path):
    with pytest.raises(StorageError, match="full"):
        write_backup(old, tmp_path / "b.zip", disk=FaultyDisk("replace", error=errno.ENOSPC))
    assert not list(tmp_path.glob("*.zip")) and not list(tmp_path.glob(".*"))


def test_an_existing_file_is_not_overwritten_and_others_cannot_read_it(old, file):
    with pytest.raises(UserError, match="exists"):
        write_backup(old, file)
    if os.name != "nt":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_commands(old, tmp_path, capsys):
    file, words = tmp_path / "b.zip", ["--data-dir", str(tmp_path / "new")]
    assert cli.main(["backup", str(file), "--data-dir", str(old.data_dir)]) == 0
    assert "3 files" in capsys.readouterr().out
    assert cli.main(["restore", str(file), *words]) == 0
    assert "3 files" in capsys.readouterr().out
    assert cli.main(["restore", str(file), *words, "--lang", "zh"]) == 0
    assert "before-restore-" in capsys.readouterr().err
    assert cli.main(["restore", str(tmp_path / "none.zip"), *words]) == 2
    assert "none.zip" in capsys.readouterr().err
