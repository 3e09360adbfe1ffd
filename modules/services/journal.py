"""What happened, for programs: one JSON object a line, each with the job that it belongs to.

    {"time": "2026-11-22T10:15:03.123Z", "level": "info", "source": "services.dispatcher", "process": 4711,
     "message": "job 5 is done", "job": 5, "event": "done", "seconds": 3.2}

`job` is null where no job is meant. Who asked is not written down: visitors' names open their pictures.
"""

import json
import logging
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

JOURNAL_FILE = Path("data") / "logs" / "noisette.jsonl"
"""Below the data folder."""

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter


class JobLog(_Adapter):
    """A logger that puts the number of a job on every line; further facts of an event are keywords of `event`."""

    def __init__(self, log: logging.Logger, job_id: int) -> None:
        super().__init__(log, {})
        self._job = job_id

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """What `logging` calls: adds the job to the record, and leaves the text alone."""
        extra = {**(kwargs.get("extra") or {}), "job": self._job}
        return msg, {**kwargs, "extra": extra}

    def event(self, name: str, message: str, **facts: object) -> None:
        """Something that belongs to a job's life: `name` and `facts` are for programs, `message` for people."""
        self.info(message, extra={"facts": {"event": name, **facts}})


class JsonLines(logging.Formatter):
    """A record as one line of JSON; what is no JSON in it is written as its text."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        found: dict[str, object] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "source": record.name.removeprefix("modules."),
            "process": record.process,
            "message": record.getMessage(),
            "job": getattr(record, "job", None),
        }
        found |= getattr(record, "facts", {})
        if record.exc_info:
            found["traceback"] = self.formatException(record.exc_info)
        # ASCII alone: a lone surrogate in a prompt or a file name must not keep a line from being written.
        return json.dumps(found, default=str)
