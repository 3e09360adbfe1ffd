"""All that happens is a line of JSON, with the job that it belongs to."""

import io
import json
import logging
import os
import sys
from datetime import datetime
from pathlib import Path

import pytest

from modules.schema import GenerationRequest, JobState
from modules.services.journal import JOURNAL_FILE, JobLog
from modules.services.logs import LOG_FILE, logging_to
from modules.services.worker import ChildWorker
from modules.settings import Settings
from tests.services.fakes import FakeGenerate, house

ASKED = GenerationRequest(prompt="a cat", seed=3)


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run something; the lines of the journal, each read, and the terminal's text."""

    def run(action):
        terminal = io.StringIO()
        monkeypatch.setattr(sys, "stderr", terminal)
        with logging_to(tmp_path / LOG_FILE, hint=""):
            action()
        text = (tmp_path / JOURNAL_FILE).read_text(encoding="ascii")
        return [json.loads(line) for line in text.splitlines()], terminal.getvalue()

    return run


def test_the_life_of_a_job(tmp_path, lines):
    def fail_once(stage, step):
        if len(engine.calls) == 2:
            raise RuntimeError("a fault of ours\nwith two lines")

    engine = FakeGenerate(before=fail_once)

    def work():
        here = house(tmp_path, engine)
        jobs = [here.studio.submit(ASKED, "anna-s-secret-name") for _ in range(2)]
        here.studio.cancel(here.studio.submit(ASKED).id)
        here.studio.start()
        states = [here.finish(job.id).state for job in jobs]
        assert states == [JobState.DONE, JobState.FAILED]
        here.studio.close()

    found, _ = lines(work)
    told = [(line["job"], line["event"]) for line in found if "event" in line]
    assert [event for job, event in told if job == 1] == ["queued", "begun", "done"]
    assert [event for job, event in told if job == 2] == ["queued", "begun", "failed"]
    (failed,) = (line for line in found if line.get("event") == "failed")
    assert failed["error"] == "error.internal" and failed["pictures"] == 0
    assert failed["seconds"] >= 0 and failed["process"] == os.getpid()
    assert failed["level"] == "info" and failed["source"] == "services.dispatcher"
    (trace,) = (line for line in found if "Traceback" in line["message"])
    assert trace["job"] == 2 and trace["level"] == "error"
    assert all(datetime.fromisoformat(line["time"]).tzinfo for line in found)
    assert "secret" not in json.dumps(found)


def test_what_the_worker_writes_belongs_to_its_job(tmp_path, lines):
    plan = json.dumps({"die": "denoising2", "always": True})
    command = (sys.executable, str(Path(__file__).with_name("fake_child.py")))
    environ = {**os.environ, "FAKE_CHILD": plan}

    def work():
        worker = ChildWorker(Settings(data_dir=tmp_path), command=command, environ=environ)
        here = house(tmp_path, worker=worker)
        job = here.studio.submit(ASKED)
        here.studio.start()
        assert here.finish(job.id).state is JobState.FAILED
        here.studio.close()

    found, terminal = lines(work)
    deaths = [line for line in found if "the worker died" in line["message"]]
    assert len(deaths) == 2 and {line["job"] for line in deaths} == {1}
    assert [line["attempts"] for line in found if line.get("event") == "begun"] == [0, 1]
    assert [line["event"] for line in found if line.get("event")][-2:] == ["begun", "failed"]
    assert "begun" not in terminal  # the terminal hears of what goes wrong alone


def test_anything_can_be_written(lines):
    def work():
        log = logging.getLogger("modules.x")
        # Not in the message: what runs the tests in several processes passes that on, and cannot.
        JobLog(log, 7).event("odd", "图 50 %s", path=Path("a\udcff"), what=object)
        try:
            raise ValueError("x")
        except ValueError:
            log.exception("broken")
        logging.getLogger("elsewhere").info("not ours")

    (odd, broken), _ = lines(work)
    assert odd["message"] == "图 50 %s" and odd["path"] == "a\udcff" and odd["job"] == 7
    assert broken["job"] is None and broken["traceback"].endswith("ValueError: x")
    assert logging.getLogger("modules").level == logging.NOTSET
