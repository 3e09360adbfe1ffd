"""A request that takes long holds up no other: everything that waits for disk or rows is off the event loop."""

import threading

import pytest

from modules.client import Client


@pytest.mark.parametrize("method", ["pictures", "jobs", "models", "counts"])
def test_a_slow_look_stops_nobody(here, server, monkeypatch, method):
    held, go_on = threading.Event(), threading.Event()
    real = getattr(here.house.studio, method)

    def slow(*args, **kwargs):
        held.set()
        assert go_on.wait(20)
        return real(*args, **kwargs)

    monkeypatch.setattr(here.house.studio, method, slow)
    client = Client(server)
    ask = {
        "pictures": client.pictures,
        "jobs": client.jobs,
        "models": client.models,
        "counts": client.health,
    }[method]
    answers = []
    thread = threading.Thread(target=lambda: answers.append(ask()))
    thread.start()
    assert held.wait(10)
    assert client.names()["samplers"]  # answered while the other one still waits
    number = client.submit(prompt="a cat")["id"]
    assert client.job(number)["id"] == number
    assert answers == []
    go_on.set()
    thread.join(10)
    assert len(answers) == 1
