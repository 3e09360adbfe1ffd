"""`noisette queue`: what is waiting, running and done."""

from typing import TYPE_CHECKING

from modules.cli import remote
from modules.cli.run import OK, Run
from modules.errors import UserError
from modules.schema import JobState

if TYPE_CHECKING:
    from modules.services.front import Studio


def queue(run: Run) -> int:
    """List, cancel, retry, move or clear jobs."""
    action = run.options.action
    if run.options.limit < 1:
        raise UserError("cli.queue.limit", found=run.options.limit)
    one = action in ("cancel", "retry", "move")
    if one and run.options.id is None:
        raise UserError("cli.queue.which")
    if not one and run.options.id is not None:
        raise UserError("cli.queue.no_id", action=action, id=run.options.id)
    if run.options.server:
        return remote.queue(run)
    with run.studio() as studio:
        if one:
            if action == "move":
                job = studio.move(run.options.id, run.options.place)
                print(run.say("cli.queue.moved", id=job.id, place=run.options.place))
            elif action == "retry":
                print(run.say("cli.queue.retried", id=studio.retry(run.options.id).id))
            else:
                job = studio.cancel(run.options.id)
                print(run.say("cli.queue.cancelled", id=job.id, state=job.state.value))
        elif action == "clear":
            print(run.say("cli.queue.cleared", count=studio.cancel_queued()))
        else:
            _list_queue(run, studio)
    return OK


def _list_queue(run: Run, studio: "Studio") -> None:
    waiting = studio.jobs(
        states=(JobState.QUEUED, JobState.RUNNING), newest_first=False, limit=run.options.limit
    )
    if run.options.json:
        run.print_json(
            {
                "counts": {state.value: count for state, count in studio.counts().items()},
                "jobs": [job.model_dump(mode="json") for job in waiting],
            }
        )
        return
    counts = studio.counts()
    print(run.say("cli.queue.counts", **{state.value: count for state, count in counts.items()}))
    for job in waiting:
        prompt = " ".join(job.request.prompt.split())
        print(f"{job.id}\t{job.state.value}\t{job.wanted}\t{prompt[:70]}")
