"""What guests may ask for, and that nobody slips through between two looks."""

import json
import threading
from pathlib import Path

import pytest

from modules.errors import LimitError, UserError
from modules.schema import Cell, GenerationRequest, JobState, Layout, LayoutAxis, Limits
from modules.schema.guests import GuestLimits
from modules.schema.options import Hires
from modules.services.jobs import JobStore
from modules.services.quotas import DAY, HOUR, QuotaError, Quotas, refusal
from tests.services.fakes import house

ANNA, BERT, OWNER = "guest:anna", "guest:bert", "a" * 32
FEW = GuestLimits(
    jobs_waiting=3,
    pictures_per_hour=10,
    pictures_per_day=20,
    work_per_hour=100,
    all_jobs_waiting=5,
    all_pictures_per_day=30,
)


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock):
    store = JobStore(tmp_path / "jobs.sqlite3", clock)
    yield store
    store.close()


@pytest.fixture
def quotas(store: JobStore, clock: Clock) -> Quotas:
    return Quotas(store, FEW, clock)


def asked(pictures: int = 1, side: int = 64, steps: int = 1) -> GenerationRequest:
    return GenerationRequest(width=side, height=side, steps=steps, batch_count=pictures)


def submit(store: JobStore, quotas: Quotas, client: str, request: GenerationRequest) -> int:
    with quotas.taken(client, [request]):
        return store.submit(request, client).id


def done(store: JobStore, number: int) -> None:
    assert store.claim("w", number)
    store.finish(number, JobState.DONE)


def test_a_guest_has_so_many_places_in_the_queue(store: JobStore, quotas: Quotas):
    numbers = [submit(store, quotas, ANNA, asked()) for _ in range(3)]
    with pytest.raises(QuotaError, match="3 jobs in the queue") as caught:
        submit(store, quotas, ANNA, asked())
    assert "队列" in caught.value.message("zh")
    done(store, numbers[0])
    submit(store, quotas, ANNA, asked())
    store.cancel(numbers[1])
    submit(store, quotas, ANNA, asked())


def test_all_guests_together_too(store: JobStore, quotas: Quotas):
    for client in (ANNA, ANNA, ANNA, BERT, BERT):
        submit(store, quotas, client, asked())
    with pytest.raises(QuotaError, match="All guests"):
        submit(store, quotas, BERT, asked())


def test_the_owner_has_no_quota(store: JobStore, quotas: Quotas):
    for _ in range(10):
        submit(store, quotas, OWNER, asked(20, 512, 50))
    submit(store, quotas, ANNA, asked())  # and takes none from guests


def test_pictures_by_hour_and_day(store: JobStore, quotas: Quotas, clock: Clock):
    done(store, submit(store, quotas, ANNA, asked(10)))
    with pytest.raises(QuotaError, match="last hour"):
        submit(store, quotas, ANNA, asked())
    done(store, submit(store, quotas, BERT, asked(10)))  # his own share
    clock.now += HOUR + 1
    done(store, submit(store, quotas, ANNA, asked(10)))
    clock.now += HOUR + 1
    with pytest.raises(QuotaError, match="last day"):
        submit(store, quotas, ANNA, asked())
    with pytest.raises(QuotaError, match="All guests"):
        submit(store, quotas, "guest:carl", asked())
    clock.now += DAY
    submit(store, quotas, ANNA, asked(10))


def test_work(store: JobStore, quotas: Quotas):
    with pytest.raises(QuotaError, match="105 more"):
        submit(store, quotas, ANNA, asked(1, 1024, 100))
    done(store, submit(store, quotas, ANNA, asked(1, 1000, 90)))
    with pytest.raises(QuotaError, match="took 90"):
        submit(store, quotas, ANNA, asked(1, 1000, 20))


def test_what_was_cancelled_before_it_began_does_not_count(store: JobStore, quotas: Quotas):
    for _ in range(5):
        store.cancel(submit(store, quotas, ANNA, asked(10)))
    begun = submit(store, quotas, ANNA, asked(10))
    done(store, begun)
    with pytest.raises(QuotaError):
        submit(store, quotas, ANNA, asked())


def test_a_restart_forgets_nothing(store: JobStore, quotas: Quotas, tmp_path: Path, clock: Clock):
    submit(store, quotas, ANNA, asked(10))
    again = JobStore(tmp_path / "jobs.sqlite3", clock)
    with pytest.raises(QuotaError):
        submit(again, Quotas(again, FEW, clock), ANNA, asked())
    again.close()


def test_names_that_only_look_like_a_guests(store: JobStore, quotas: Quotas):
    for name in ("Guest:x", "guest", "x guest:anna", "guest%"):
        for _ in range(6):
            submit(store, quotas, name, asked(10))
    submit(store, quotas, ANNA, asked())


def test_two_at_once_do_not_share_the_last_place(store: JobStore, quotas: Quotas):
    gate = threading.Barrier(8)
    taken, refused = [], []

    def hurry() -> None:
        gate.wait()
        try:
            taken.append(submit(store, quotas, ANNA, asked()))
        except QuotaError:
            refused.append(1)

    threads = [threading.Thread(target=hurry) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 3
    assert len(refused) == 5


def test_work_of_a_request_counts_both_passes():
    plain = asked(2, 1000, 10)
    assert plain.work == pytest.approx(20)
    assert plain.replace(hires=Hires(scale=2, steps=5)).work == pytest.approx(20 + 2 * 4 * 5)
    assert GenerationRequest().work == 0
    with pytest.raises(LimitError, match="20 megapixels"):
        plain.check(Limits(max_work=19))
    plain.check(Limits(max_work=20))


@pytest.mark.parametrize("field", sorted(GuestLimits.model_fields))
def test_every_quota_says_itself_in_both_languages(field: str):
    if field == "megabytes_per_hour":
        error = UserError("error.api.uploads", minutes=3)
    else:
        error = refusal(field, had=7, wanted=8, most=9)
    for language in ("en", "zh"):
        text = error.message(language)
        assert "error." not in text
        assert any(number in text for number in "379")


@pytest.mark.parametrize("field", sorted(set(GuestLimits.model_fields) - {"megabytes_per_hour"}))
def test_where_there_is_no_room_only_later_is_said(field: str):
    some, none = refusal(field, had=7, wanted=4, most=9), refusal(field, had=9, wanted=4, most=9)
    again = QuotaError.from_dict(json.loads(json.dumps(none.to_dict())))
    assert type(again) is QuotaError and some.key == none.key == f"error.quota.{field}"
    for language, fewer in (
        ("en", ("fewer", "smaller", "at the most")),
        ("zh", ("减", "最多请求")),
    ):
        assert any(word in some.message(language) for word in fewer)
        assert "2" in some.message(language)
        assert not any(word in none.message(language) for word in (*fewer, "0", "{", "error."))
        assert again.message(language) == none.message(language)
    later = ("later", "tomorrow", "Wait")
    assert any(word in none.message() for word in later)
    assert any(word in none.message("zh") for word in ("稍后", "明天", "等待"))


def test_a_guest_who_has_had_all_is_told_to_come_later(store: JobStore, quotas: Quotas):
    done(store, submit(store, quotas, ANNA, asked(10)))
    with pytest.raises(QuotaError, match=r"may have\. Ask again later\.$") as caught:
        submit(store, quotas, ANNA, asked())
    assert caught.value.message("zh").endswith("张。请稍后再试。")


def test_a_grid_counts_for_each_of_its_cells(store: JobStore, quotas: Quotas):
    cells = tuple(Cell(request=asked(), at=(place, 0, 0)) for place in range(8))
    layout = Layout(x=LayoutAxis(labels=tuple("abcdefgh")), cells=cells)
    each = [cell.request for cell in cells]
    with quotas.taken(ANNA, each):
        store.submit(asked(), ANNA, layout)
    submit(store, quotas, ANNA, asked(2))
    with pytest.raises(QuotaError), quotas.taken(ANNA, each[:1]):
        raise AssertionError("it was let through")


def test_several_at_once_are_queued_all_or_none(tmp_path: Path):
    here = house(tmp_path)
    here.studio._quotas = Quotas(here.store, FEW)
    here.studio.submit(asked(), ANNA)
    with pytest.raises(QuotaError) as refused:
        here.studio.submit_all([asked()] * 3, ANNA)
    assert "have 1 jobs" in str(refused.value) and "room for 2" in str(refused.value)
    assert "2 个" in refused.value.message("zh")
    with pytest.raises(UserError, match="9999"):  # wrong, and not the first
        here.studio.submit_all([asked(), asked(steps=9999)], ANNA)
    assert here.store.unfinished("guest:") == {ANNA: 1}
    jobs = here.studio.submit_all([asked(), asked()], ANNA)
    assert [job.id for job in jobs] == [2, 3]
    assert [each.id for each in here.studio.jobs(ANNA, newest_first=False)] == [1, 2, 3]
    here.studio.close()


def test_the_share_of_pictures_is_that_of_all_jobs_together(tmp_path: Path):
    here = house(tmp_path)
    here.studio._quotas = Quotas(here.store, FEW)
    with pytest.raises(QuotaError, match=r"with 12 more .* Ask for 10 at the most"):
        here.studio.submit_all([asked(6)] * 2, ANNA)
    assert not here.studio.jobs(ANNA)
    assert len(here.studio.submit_all([asked(5)] * 2, ANNA)) == 2
    here.studio.close()


def test_what_is_begun_and_asked_for_again_counts_again(store: JobStore, quotas: Quotas, clock):
    number = submit(store, quotas, ANNA, asked(4))
    for _ in range(2):
        assert store.claim("w", number)
        store.finish(number, JobState.CANCELLED)
        store.retry(number)
    with pytest.raises(QuotaError, match="12 pictures"):
        submit(store, quotas, ANNA, asked(1))
    clock.now += HOUR + 1
    submit(store, quotas, ANNA, asked(4))
    with pytest.raises(QuotaError, match="16 pictures"):
        submit(store, quotas, ANNA, asked(5))
    clock.now += DAY + 1
    submit(store, quotas, ANNA, asked(8))


def test_a_retry_of_what_was_never_begun_costs_nothing_more(store: JobStore, quotas: Quotas):
    number = submit(store, quotas, ANNA, asked(8))
    store.cancel(number)
    store.retry(number)
    submit(store, quotas, ANNA, asked(2))
