"""Names that clients give their requests."""

from modules.api.v1.tasks import MOST, Tasks


def test_a_name_that_is_used_again_means_the_newest_and_keeps_nothing_of_the_old():
    tasks = Tasks()
    for number in range(3 * MOST):
        tasks.add("anna", "mine", (number,))
    assert tasks.jobs("anna", "mine") == (3 * MOST - 1,)
    assert tasks.name(3 * MOST - 1, "0a") == "mine"
    assert tasks.name(1, "0a") == "task(0a)"
    assert len(tasks._names) == 1


def test_the_oldest_are_forgotten():
    tasks = Tasks()
    for number in range(MOST + 1):
        tasks.add("anna", f"task {number}", (number,))
    assert tasks.jobs("anna", "task 0") == ()
    assert tasks.name(0, "0a") == "task(0a)"
    assert tasks.jobs("anna", f"task {MOST}") == (MOST,)
