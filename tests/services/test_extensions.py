"""Install, update, roll back, remove: nothing before the yes, everything or nothing after it."""

import base64
import hashlib
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modules.errors import ExtensionError, UserError
from modules.plugins.manager import ACTIVE, Plugins
from modules.plugins.switches import Switches
from modules.services.extensions import Extensions
from tests.plugins.write import write

PLAIN = """
from modules.plugins import Options, hookimpl
class PlainOptions(Options):
    number: int = 1
class Extension:
    @hookimpl
    def register_options(self):
        return PlainOptions
"""


@pytest.fixture
def plugins(tmp_path: Path) -> Iterator[Plugins]:
    (tmp_path / "extensions").mkdir()
    loaded = Plugins.load(
        tmp_path / "extensions", switches=Switches(tmp_path / "data" / "extensions.json")
    )
    yield loaded
    loaded.close()


@pytest.fixture
def desk(plugins: Plugins) -> Extensions:
    return Extensions(plugins, schemes=["file"])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "source", "fresh", PLAIN)


def state(plugins: Plugins) -> dict[str, tuple[str, str]]:
    return {report.name: (report.state, report.version) for report in plugins.reports}


def test_nothing_happens_before_the_yes(desk: Extensions, plugins: Plugins, source: Path) -> None:
    (source / "plugin.py").write_text("import os; os._exit(7)")  # looking at it must not run it
    preview = desk.prepare(str(source))
    assert [file.path for file in preview.files] == ["extension.toml", "plugin.py"]
    assert (preview.version_before, len(preview.added)) == ("", 2)
    assert state(plugins) == {}
    desk.discard(preview.id)
    assert [path.name for path in plugins.folder.iterdir()] == []


def test_the_whole_life(desk: Extensions, plugins: Plugins, source: Path) -> None:
    desk.install(desk.prepare(str(source)).id)
    assert state(plugins) == {"fresh": (ACTIVE, "1.0.0")}
    assert desk.prepare_update("fresh") is None
    write(source.parent, "fresh", PLAIN.replace("= 1", "= 2"), version="1.1.0")
    (source / "more.py").write_text("x = 1\n")
    preview = desk.prepare_update("fresh")
    assert preview is not None
    assert preview.version_before == "1.0.0"
    assert (preview.added, preview.changed) == (("more.py",), ("extension.toml", "plugin.py"))
    time.sleep(0.01)
    desk.install(preview.id)
    assert state(plugins) == {"fresh": (ACTIVE, "1.1.0")}
    assert plugins.options["fresh"]().number == 2  # type: ignore[attr-defined]
    desk.rollback("fresh")
    assert state(plugins) == {"fresh": (ACTIVE, "1.0.0")}
    assert plugins.options["fresh"]().number == 1  # type: ignore[attr-defined]
    origin = plugins.reports[0].origin
    assert origin is not None and origin.version == "1.0.0"
    desk.remove("fresh")
    assert (state(plugins), desk.removed()) == ({}, ("fresh",))
    desk.rollback("fresh")
    assert state(plugins) == {"fresh": (ACTIVE, "1.0.0")}


def test_a_zip(desk: Extensions, plugins: Plugins, source: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "fresh"), "zip", source.parent, "fresh")
    preview = desk.prepare(archive)
    assert (preview.kind, preview.manifest.name) == ("zip", "fresh")
    desk.install(preview.id)
    assert state(plugins) == {"fresh": (ACTIVE, "1.0.0")}


def test_git_at_a_commit(desk: Extensions, plugins: Plugins, source: Path) -> None:
    def git(*words: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        done = subprocess.run(command, cwd=source, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "1")
    first = git("rev-parse", "HEAD")
    write(source.parent, "fresh", PLAIN, version="2.0.0")
    git("commit", "-qam", "2")
    preview = desk.prepare(f"{source.as_uri()}@{first}")
    assert (preview.kind, preview.commit, preview.manifest.version) == ("git", first, "1.0.0")
    desk.install(preview.id)
    update = desk.prepare_update("fresh")
    assert update is not None
    assert (update.commit, update.manifest.version) == (git("rev-parse", "HEAD"), "2.0.0")


def test_files_that_changed_after_they_were_shown(
    desk: Extensions, plugins: Plugins, source: Path
) -> None:
    preview = desk.prepare(str(source))
    (plugins.folder / preview.id / "plugin.py").write_text("evil = 1")
    with pytest.raises(ExtensionError, match="not those that were shown"):
        desk.install(preview.id)
    assert list(plugins.folder.glob("[!.]*")) == []


def no_manifest(source: Path) -> None:
    """has no extension.toml"""
    (source / "extension.toml").unlink()


def broken_manifest(source: Path) -> None:
    """cannot be used"""
    (source / "extension.toml").write_text("name = 5")


def for_a_later_version(source: Path) -> None:
    """asks for Noisette >=99"""
    text = (source / "extension.toml").read_text()
    (source / "extension.toml").write_text(text.replace(">=0.1", ">=99"))


def no_such_file(source: Path) -> None:
    """names plugin.py, and there is no such file"""
    (source / "plugin.py").unlink()


def a_link(source: Path) -> None:
    """contains a link"""
    (source / "link").symlink_to("/etc/passwd")


def a_requirement_by_address(source: Path) -> None:
    """names an address"""
    with (source / "extension.toml").open("a") as file:
        file.write('requires = ["evil @ https://example.org/evil.whl"]\n')


def an_option_as_requirement(source: Path) -> None:
    """is no requirement"""
    with (source / "extension.toml").open("a") as file:
        file.write('requires = ["--index-url=https://example.org"]\n')


@pytest.mark.parametrize(
    "spoil",
    [
        no_manifest, broken_manifest, for_a_later_version, no_such_file, a_link,
        a_requirement_by_address, an_option_as_requirement,
    ],
    ids=lambda spoil: spoil.__name__,
)  # fmt: skip
def test_what_cannot_be_used_leaves_nothing(
    desk: Extensions, plugins: Plugins, source: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(source)
    with pytest.raises(ExtensionError, match=spoil.__doc__) as refused:
        desk.prepare(str(source))
    assert ".staging-" not in str(refused.value)  # said of what the person named
    assert list(plugins.folder.iterdir()) == []


@pytest.mark.parametrize("found", ["", "nothing/here", "//host/share", "x.tar", "--help"])
def test_no_source_at_all(desk: Extensions, found: str) -> None:
    with pytest.raises(UserError):
        desk.prepare(found)


def test_a_commit_of_a_folder(desk: Extensions, plugins: Plugins, source: Path) -> None:
    with pytest.raises(ExtensionError, match="A commit belongs to"):
        desk.prepare(str(source), "0" * 40)
    assert list(plugins.folder.iterdir()) == []


def test_the_folder_of_extensions_itself(desk: Extensions, plugins: Plugins) -> None:
    with pytest.raises(ExtensionError, match="folder that extensions are kept in"):
        desk.prepare(str(plugins.folder))


def test_put_there_by_hand_has_no_update(desk: Extensions, plugins: Plugins) -> None:
    write(plugins.folder, "byhand", PLAIN)
    with pytest.raises(ExtensionError, match="put here by hand"):
        desk.prepare_update("byhand")
    with pytest.raises(ExtensionError, match="no earlier byhand"):
        desk.rollback("byhand")


def wheel(folder: Path, name: str, version: str, requires: str = "") -> None:
    """A wheel with one module."""
    info = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        record.append(f"{path},sha256={digest.decode()},{len(text)}")
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"])
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place that pip knows."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return tmp_path / "wheels"


def needing(tmp_path: Path, *requires: str) -> Path:
    words = ", ".join(f'"{each}"' for each in requires)
    code = "import noisette_test_nut\n" + PLAIN
    return write(tmp_path / "source", "needy", code, more=f"requires = [{words}]\n")


def test_packages_are_shown_and_then_installed_beside_it(
    desk: Extensions, plugins: Plugins, tmp_path: Path, shop: Path
) -> None:
    wheel(shop, "noisette_test_nut", "1.5", "noisette_test_shell")
    wheel(shop, "noisette_test_shell", "0.3")
    preview = desk.prepare(str(needing(tmp_path, "noisette-test-nut>=1", "pydantic>=2")))
    shown = [package.pinned for package in preview.packages]
    assert shown == ["noisette-test-nut==1.5", "noisette-test-shell==0.3"]
    desk.install(preview.id)
    assert state(plugins) == {"needy": (ACTIVE, "1.0.0")}
    assert (plugins.folder / "needy" / ".python" / "noisette_test_nut.py").is_file()
    import importlib.util

    assert importlib.util.find_spec("noisette_test_nut") is not None
    desk.remove("needy")
    assert importlib.util.find_spec("noisette_test_shell") is None


def test_a_package_that_would_change_one_of_ours(
    desk: Extensions, plugins: Plugins, tmp_path: Path, shop: Path
) -> None:
    wheel(shop, "noisette_test_nut", "1.5", "pydantic<2")
    wheel(shop, "pydantic", "1.10")
    with pytest.raises(ExtensionError, match=r"cannot be installed: .*pydantic"):
        desk.prepare(str(needing(tmp_path, "noisette-test-nut")))
    assert list(plugins.folder.iterdir()) == []


def test_a_package_that_nobody_has(desk: Extensions, tmp_path: Path, shop: Path) -> None:
    shop.mkdir()
    with pytest.raises(ExtensionError, match="noisette-test-nut"):
        desk.prepare(str(needing(tmp_path, "noisette-test-nut")))


def test_dropped_in_by_hand_without_its_packages(plugins: Plugins, tmp_path: Path) -> None:
    shutil.copytree(needing(tmp_path, "noisette-test-nut"), plugins.folder / "needy")
    plugins.refresh()
    assert "needs Python packages that are not here: noisette-test-nut" in str(
        plugins.reports[0].reason
    )
