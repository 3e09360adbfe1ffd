"""On and off without a restart, counted failures, and what a start that ended midway leaves."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.errors import ExtensionError, UnknownNameError
from modules.plugins import problem
from modules.plugins.blame import failed
from modules.plugins.manager import ACTIVE, DISABLED, FAILED, Plugins
from modules.plugins.switches import MOST_FAILURES, Off, Switches
from modules.schema import Failed, Finished, GenerationRequest, Job, JobState
from tests.plugins.write import write

PLAIN = """
from modules.plugins import Options, Panel, hookimpl
class EchoOptions(Options):
    loudness: int = 3
class Extension:
    @hookimpl
    def register_options(self):
        return EchoOptions
    @hookimpl
    def register_panels(self):
        return [Panel(tab="txt2img", title="Echo")]
"""
ON = GenerationRequest(extras={"echo": {"enabled": True}})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "extensions", "echo", PLAIN)
    return tmp_path / "extensions"


@pytest.fixture
def switches(tmp_path: Path) -> Switches:
    return Switches(tmp_path / "data" / "extensions.json")


@pytest.fixture
def plugins(folder: Path, switches: Switches) -> Iterator[Plugins]:
    loaded = Plugins.load(folder, switches=switches)
    yield loaded
    loaded.close()


def job(**extras: object) -> Job:
    request = GenerationRequest(extras=extras or {"echo": {"enabled": True}})  # type: ignore[arg-type]
    return Job(
        id=1, uid="0", state=JobState.RUNNING, request=request, client="", attempts=1, created=0
    )


def failure(name: str = "echo") -> Failed:
    error = ExtensionError("error.extension.failed", extension=name, why="no")
    return Failed(job_id=1, error=error.to_dict(), traceback="where")  # type: ignore[arg-type]


def test_off_and_on_without_a_restart(plugins: Plugins, folder: Path, switches: Switches) -> None:
    assert plugins.disable("echo").state == DISABLED
    assert plugins.panels("txt2img") == ()
    with pytest.raises(UnknownNameError, match=r"echo is off\. Off: switched off by you\."):
        plugins.check(ON)
    again = Plugins.load(folder, switches=Switches(switches._file))
    assert [report.state for report in again.reports] == [DISABLED]  # it outlives the start
    assert again.enable("echo").state == ACTIVE
    assert again.check(ON).extras["echo"]["loudness"] == 3
    again.close()


def test_the_other_process_follows(plugins: Plugins, folder: Path, switches: Switches) -> None:
    worker = Plugins.load(folder, switches=Switches(switches._file), process="worker")
    plugins.disable("echo")
    with pytest.raises(UnknownNameError):
        worker.check(ON)
    plugins.enable("echo")
    assert worker.check(ON).extras
    worker.close()


def test_new_files_are_loaded_and_old_ones_let_go(plugins: Plugins, folder: Path) -> None:
    plugins.laid_out()
    write(folder, "late", PLAIN)
    plugins.refresh()
    late = {report.name: report for report in plugins.reports}["late"]
    assert (late.state, late.restart) == (ACTIVE, True)
    time.sleep(0.01)
    write(folder, "echo", PLAIN.replace("= 3", "= 4"), version="1.1.0")
    plugins.refresh()
    echo = {report.name: report for report in plugins.reports}["echo"]
    assert (echo.version, echo.restart) == ("1.1.0", True)
    assert plugins.check(ON).extras["echo"]["loudness"] == 4


def test_a_report_without_changes_needs_no_restart(plugins: Plugins) -> None:
    plugins.laid_out()
    assert [report.restart for report in plugins.reports] == [False]


def test_one_that_does_not_exist(plugins: Plugins) -> None:
    with pytest.raises(UnknownNameError, match="Here are: echo"):
        plugins.enable("ohce")


def test_repeated_failures_switch_it_off_by_name(plugins: Plugins) -> None:
    for _ in range(MOST_FAILURES - 1):
        plugins.settle(job(), failure())
        assert plugins.check(ON).extras
    plugins.settle(job(), failure())
    with pytest.raises(UnknownNameError, match="failed 3 jobs in a row"):
        plugins.check(ON)
    (report,) = plugins.reports
    assert report.state == DISABLED
    assert report.failures is not None
    assert report.failures.traceback == "where"
    assert "连续 3 个" in (report.reason.message("zh") if report.reason else "")
    assert plugins.enable("echo").failures is None


def test_a_job_that_goes_through_clears_it(plugins: Plugins) -> None:
    for _ in range(MOST_FAILURES - 1):
        plugins.settle(job(), failure())
    plugins.settle(job(), Finished(job_id=1))
    plugins.settle(job(), failure())
    assert plugins.check(ON).extras
    assert plugins.reports[0].failures is not None  # the last error stays to be read


def test_cancelling_or_another_error_counts_for_nobody(plugins: Plugins) -> None:
    plugins.settle(job(), Finished(job_id=1, cancelled=True))
    plugins.settle(job(), Failed(job_id=1, error={"kind": "UserError", "key": "no"}))
    plugins.settle(job(), failure("another"))
    refused = failed("echo", problem("No such style.", "没有此风格。"))
    plugins.settle(job(), Failed(job_id=1, error=refused.to_dict()))
    assert plugins.reports[0].failures is None


@pytest.mark.parametrize("code", ["while True: pass", "import time; time.sleep(1000)"])
def test_a_hang_at_import_is_named_and_the_rest_start(folder: Path, code: str) -> None:
    write(folder, "stuck", code)
    began = time.monotonic()
    plugins = Plugins.load(folder, load_seconds=4)
    assert time.monotonic() - began < 30
    echo, stuck = plugins.reports
    assert (echo.state, stuck.state) == (ACTIVE, FAILED)
    assert "stuck did not come back from plugin:Extension within 4 s" in str(stuck.reason)
    assert "plugin.py" in stuck.traceback  # where it hung
    plugins.close()


def test_a_process_that_died_at_an_extension_names_it_at_the_next_start(
    folder: Path, tmp_path: Path
) -> None:
    write(folder, "deadly", "import os\nos._exit(9)")
    file = tmp_path / "data" / "extensions.json"
    code = (
        "import sys, pathlib; from modules.plugins.manager import Plugins;"
        "from modules.plugins.switches import Switches;"
        "p = Plugins.load(pathlib.Path(sys.argv[1]), switches=Switches(pathlib.Path(sys.argv[2])));"
        "print({r.name: (r.state, str(r.reason)) for r in p.reports})"
    )
    command = [sys.executable, "-c", code, str(folder), str(file)]
    assert subprocess.run(command, check=False).returncode == 9
    second = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "'echo': ('active'" in second.stdout
    assert "the last start ended while deadly was being loaded" in second.stdout


def test_an_error_at_import_leaves_no_mark(folder: Path, switches: Switches) -> None:
    write(folder, "bad", "raise RuntimeError")
    Plugins.load(folder, switches=switches).close()
    assert switches.did_not_start("page") is None


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"off": 5}', "\x00\x01"])
def test_a_damaged_file_costs_no_start(folder: Path, switches: Switches, damage: str) -> None:
    switches.turn_off("other", Off())
    assert switches._file is not None
    switches._file.write_text(damage)
    plugins = Plugins.load(folder, switches=switches)
    assert plugins.reports[0].state == ACTIVE
    plugins.disable("echo")
    assert switches.read().off.keys() == {"echo"}
    assert switches._file.with_suffix(".damaged").read_text() == damage
    plugins.close()


def test_writers_in_two_processes_lose_nothing(switches: Switches) -> None:
    code = (
        "import sys, pathlib; from modules.plugins.switches import *;"
        "s = Switches(pathlib.Path(sys.argv[1]));"
        "[s.turn_off(f'{sys.argv[2]}{n}', Off()) for n in range(15)]"
    )
    assert switches._file is not None
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(switches._file), name])
        for name in ("a", "b")
    ]
    assert [process.wait(60) for process in both] == [0, 0]
    assert len(switches.read().off) == 30
    json.loads(switches._file.read_text())
