"""The extensions' part in a job: an error in it fails the job by name, or changes nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from modules.errors import ExtensionError
from modules.plugins.manager import Plugins
from modules.plugins.switches import MOST_FAILURES
from modules.schema import Finished, GenerationRequest
from tests.plugins.write import ECHO, write

PICTURE = Image.new("RGB", (8, 8), "red")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "echo", ECHO)
    return tmp_path


@pytest.fixture
def plugins(folder: Path) -> Iterator[Plugins]:
    loaded = Plugins.load(folder)
    yield loaded
    loaded.close()


def test_finishers_run_only_when_enabled(plugins: Plugins) -> None:
    assert plugins.finishers_for(GenerationRequest()) == []
    request = plugins.check(GenerationRequest(extras={"echo": {"enabled": True, "loudness": 2}}))
    (finisher,) = plugins.finishers_for(request)
    assert finisher.finish(PICTURE, request, 0).size == (10, 8)


def test_an_error_in_a_finisher_fails_the_job_by_name(folder: Path) -> None:
    write(folder, "broken", ECHO.replace("return image.resize", "raise KeyError(1)  #"))
    plugins = Plugins.load(folder)
    request = plugins.check(GenerationRequest(extras={"broken": {"enabled": True}}))
    (finisher,) = plugins.finishers_for(request)
    with pytest.raises(ExtensionError, match=r"extension broken failed: KeyError: 1"):
        finisher.finish(PICTURE, request, 0)
    plugins.close()


def test_an_error_in_on_event_stops_nobody(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(folder, "broken", ECHO.replace("self.heard.append(event)", "raise KeyError(1)"))
    plugins = Plugins.load(folder)
    plugins.publish(Finished(job_id=1))
    assert "broken failed in on_event" in caplog.text
    plugins.close()


def test_an_event_that_is_not_answered_stops_nobody(folder: Path) -> None:
    slow = "from modules.plugins import hookimpl\nclass Extension:\n    @hookimpl\n    def on_event(self, event):\n        raise KeyError(1)\n"
    write(folder, "deaf", slow)
    plugins = Plugins.load(folder)
    for _ in range(MOST_FAILURES + 2):
        plugins.publish(Finished(job_id=1))
    (deaf,) = [report for report in plugins.reports if report.name == "deaf"]
    assert ["told of no more events" in str(warning) for warning in deaf.warnings] == [True]
    plugins.close()
