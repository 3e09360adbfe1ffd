"""Messages between the processes survive JSON and refuse what is none."""

import json

import pytest
from pydantic import ValidationError

from modules.errors import UserError
from modules.schema import (
    Event,
    Failed,
    Finished,
    ImageSaved,
    Stage,
    StageChanged,
    StepDone,
    Warned,
    event_from_dict,
)

EVENTS: list[Event] = [
    StageChanged(job_id=1, stage=Stage.LOADING),
    StepDone(job_id=1, step=3, steps=20, preview="1.webp"),
    ImageSaved(job_id=1, index=0, path="a.png", width=8, height=8, seed=5, infotext="红苹果"),
    Warned.of("notice.memory.batch").model_copy(update={"job_id": 1}),
    Finished(job_id=1, cancelled=True),
    Failed(job_id=1, error=UserError("error.limit", field="x").to_dict()),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_round_trip(event: Event) -> None:
    assert event_from_dict(json.loads(event.model_dump_json())) == event


@pytest.mark.parametrize("data", [{}, {"type": "nonsense"}, {"type": "step"}, [], None])
def test_what_is_no_message_is_refused(data: object) -> None:
    with pytest.raises(ValidationError):
        event_from_dict(data)
