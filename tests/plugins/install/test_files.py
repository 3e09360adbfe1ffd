"""What comes from elsewhere is copied with care: each hostile source is refused and leaves nothing behind."""

import os
import stat
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from modules.errors import ExtensionError
from modules.plugins.install import files, git
from modules.plugins.install.files import copy_folder, digest_of, listing, unpack_zip


def zipped(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def up(path: Path) -> Path:
    return zipped(path, ("../evil.py", b""))


def absolute(path: Path) -> Path:
    return zipped(path, ("/etc/evil", b""))


def deep_up(path: Path) -> Path:
    return zipped(path, ("a/b/../../../evil", b""))


def backslash(path: Path) -> Path:
    info = zipfile.ZipInfo("x")
    info.filename = "..\\evil"
    return zipped(path, (info, b""))


def drive(path: Path) -> Path:
    return zipped(path, ("C:evil", b""))


def device(path: Path) -> Path:
    return zipped(path, ("a/NUL.txt", b""))


def trailing_dot(path: Path) -> Path:
    return zipped(path, ("a./b", b""))


def control(path: Path) -> Path:
    return zipped(path, ("a\nb", b""))


def link(path: Path) -> Path:
    info = zipfile.ZipInfo("a/link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return zipped(path, (info, b"/etc/passwd"))


def case(path: Path) -> Path:
    return zipped(path, ("a/x.py", b"1"), ("a/X.py", b"2"))


def bomb(path: Path) -> Path:
    return zipped(path, ("a/zeros", bytes(60_000_000)))


def lying_header(path: Path) -> Path:
    zipped(path, ("a/zeros", bytes(100_000)))
    data = path.read_bytes()
    path.write_bytes(data.replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    return path


def many(path: Path) -> Path:
    return zipped(path, *((f"a/{number}", b"") for number in range(files.MOST_FILES + 1)))


def no_zip(path: Path) -> Path:
    path.write_bytes(b"<html>not found</html>")
    return path


def truncated(path: Path) -> Path:
    zipped(path, ("a/x.py", os.urandom(5000)))
    path.write_bytes(path.read_bytes()[:3000])
    return path


HOSTILE = [
    up, absolute, deep_up, backslash, drive, device, trailing_dot, control, link, case, bomb,
    lying_header, many, no_zip, truncated,
]  # fmt: skip


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_hostile_zip_is_refused(make: Callable[[Path], Path], tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    target = inside / "target"
    target.mkdir()
    archive = make(tmp_path / "x.zip")
    with pytest.raises(ExtensionError) as caught:
        unpack_zip(archive, target)
    assert "x.zip" in caught.value.message("en") and "x.zip" in caught.value.message("zh")
    assert os.listdir(inside) == ["target"]
    assert sorted(os.listdir(tmp_path)) == ["inside", "x.zip"]


def test_a_password_is_said(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", ("a/x.py", b"1"))
    data = bytearray(archive.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    archive.write_bytes(bytes(data))
    (tmp_path / "t").mkdir()
    with pytest.raises(ExtensionError, match="password"):
        unpack_zip(archive, tmp_path / "t")


def test_a_good_zip_with_and_without_a_folder_around(tmp_path: Path) -> None:
    plain = zipped(tmp_path / "p.zip", ("extension.toml", b"x"), ("tests/t.py", b"y"))
    around = zipped(
        tmp_path / "a.zip", ("echo-main/extension.toml", b"x"), ("echo-main/tests/t.py", b"y")
    )
    for archive in (plain, around):
        target = tmp_path / archive.stem
        target.mkdir()
        unpack_zip(archive, target)
        assert [file.path for file in listing(target)] == ["extension.toml", "tests/t.py"]
    assert digest_of(listing(tmp_path / "p")) == digest_of(listing(tmp_path / "a"))


def test_a_folder_without_what_tools_leave(tmp_path: Path) -> None:
    source = tmp_path / "echo"
    for name in ("plugin.py", ".git/config", "__pycache__/x.pyc", "a/b.txt", "old.pyc"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("x")
    copy_folder(source, tmp_path / "t")
    assert [file.path for file in listing(tmp_path / "t")] == ["a/b.txt", "plugin.py"]


def test_links_and_pipes_in_a_folder_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "echo"
    source.mkdir()
    (source / "link").symlink_to("/etc/passwd")
    with pytest.raises(ExtensionError, match="contains a link"):
        copy_folder(source, tmp_path / "t")
    (source / "link").unlink()
    os.mkfifo(source / "pipe")
    with pytest.raises(ExtensionError, match="no plain file"):
        copy_folder(source, tmp_path / "u")


@pytest.mark.parametrize(
    "url",
    [
        "--upload-pack=touch /tmp/x",
        "-oProxyCommand=x",
        "ext::sh -c touch% /tmp/x",
        "file:///etc",
        "ssh://host/x",
        "git://host/x",
        "http://host/x",
        "git@host:x",
        "https://user:secret@host/x",
        "https://host/a b",
        "https://host/x\n",
        "https://-host/x",
        "https:///x",
        "https://host/x?y=1",
        "https://[host/x",
        "",
    ],
)
def test_an_address_of_another_kind_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("git was started"))
    for act in (git.newest, lambda each: git.fetch(each, "0" * 40, Path("x"))):
        with pytest.raises(ExtensionError, match="https://"):
            act(url)


@pytest.mark.parametrize("commit", ["main", "abc123", "-x", "0" * 39, "0" * 39 + "g", "HEAD"])
def test_only_a_whole_commit(commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("git was started"))
    with pytest.raises(ExtensionError, match="no commit"):
        git.fetch("https://host/x", commit, Path("x"))


def test_a_commit_in_the_address() -> None:
    assert git.split_source("https://host/x@" + "a" * 40) == ("https://host/x", "a" * 40)
    assert git.split_source("https://host/x") == ("https://host/x", "")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits; hooks and filters that would betray themselves."""
    place = tmp_path / "repo"
    place.mkdir()

    def run(*words: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        done = subprocess.run(command, cwd=place, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    run("init", "-q", "-b", "main")
    (place / "extension.toml").write_text("first")
    run("add", ".")
    run("commit", "-qm", "1")
    (place / "extension.toml").write_text("second")
    (place / ".gitattributes").write_text("* filter=evil\n")
    run("add", ".")
    run("commit", "-qm", "2")
    return place


def test_exactly_that_commit(repository: Path, tmp_path: Path) -> None:
    first = subprocess.run(
        ["git", "rev-parse", "HEAD~1"], cwd=repository, check=True, capture_output=True, text=True
    ).stdout.strip()
    url = repository.as_uri()
    newest = git.newest(url, ["file"])
    assert newest != first
    for commit, text in ((first, "first"), (newest, "second")):
        target = tmp_path / commit
        target.mkdir()
        git.fetch(url, commit, target, ["file"])
        assert (target / "extension.toml").read_text() == text


def test_a_commit_with_a_link_is_refused(repository: Path, tmp_path: Path) -> None:
    (repository / "link").symlink_to("/etc/passwd")
    for words in (["add", "."], ["commit", "-qm", "3"]):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        subprocess.run(command, cwd=repository, check=True)
    url = repository.as_uri()
    (tmp_path / "t").mkdir()
    with pytest.raises(ExtensionError, match="contains a link"):
        git.fetch(url, git.newest(url, ["file"]), tmp_path / "t", ["file"])


def test_a_repository_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ExtensionError, match="git could not fetch"):
        git.newest((tmp_path / "nothing").as_uri(), ["file"])
