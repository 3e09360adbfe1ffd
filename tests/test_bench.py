"""The arithmetic of the bench; the measuring itself is `noisette bench`."""

import gc
import json
import mmap
import os
from types import SimpleNamespace

import pytest

from modules import bench, bench_leaks
from modules.bench import Figure, Result
from modules.bench_leaks import slope
from modules.errors import UserError
from modules.settings import Settings
from modules.texts import catalogue

FOUND = {
    "shipped": {"generate": [1.1, 2.2, 1.1], "bare": [1.0, 2.0, 1.0], "seconds": [1.2]},
    "large": {"generate": [10.1, 20.2], "bare": [10.0, 20.0], "seconds": [30.0]},
    "memory": {"loaded": [3.0e9], "peak": [3.7e9]},
}


@pytest.fixture
def fake(monkeypatch):
    """Measured values that do not take half a minute."""
    values = {"page": 4.0}
    monkeypatch.setattr(bench, "_import_gradio", lambda: 2.0)
    monkeypatch.setattr(
        bench, "_page", lambda _: {"page": values["page"], "memory": 200.0, "stop": 1.0}
    )
    monkeypatch.setattr(bench, "_picture", lambda _: 9.0)
    monkeypatch.setattr(bench, "_engine", lambda what, *_: FOUND[what])
    return values


def test_good(fake):
    result = bench.measure(Settings(), 2, lambda _: None)
    assert result.good
    values = {figure.name: figure.value for figure in result.figures}
    assert values["generate_over_bare"] == pytest.approx(1.1)
    assert values["first_page_over_import"] == 2.0
    assert json.loads(json.dumps(result.to_dict()))["figures"]["first_page"]["target"] == 4.1


def test_one_bad_figure_is_not_good(fake):
    fake["page"] = 4.2
    result = bench.measure(Settings(), 1, lambda _: None)
    assert not result.good
    assert bench.table(result, "en").count("NOT OK") == 2


def test_the_large_model_is_measured_on_demand(fake):
    result = bench.measure(Settings(), 2, lambda _: None, large=True)
    values = {figure.name: figure.value for figure in result.figures}
    assert values["large_over_bare"] == pytest.approx(1.01) and values["large_memory"] == 3700
    assert result.good
    few = bench.measure(Settings(), 2, lambda _: None)
    assert not [figure for figure in few.figures if figure.name.startswith("large")]


def test_every_figure_has_its_words(fake):
    result = bench.measure(Settings(), 1, lambda _: None, large=True)
    for language in ("en", "zh"):
        for figure in result.figures:
            assert f"bench.{figure.name}" in catalogue(language)
        assert "bench." not in bench.table(result, language)


def test_the_edge_is_good():
    assert Figure("x", 1.1, 1.1, "x").good
    assert not Result((Figure("x", 1.16, 1.15, "x"),), {}, {}).good


def test_a_part_that_does_not_start_says_its_last_words(tmp_path):
    settings = Settings(models_dir=tmp_path, extensions_dir=tmp_path)
    with pytest.raises(UserError, match=r"txt2img could not be measured: noisette: .*model"):
        bench._picture(settings)


def test_the_ratio_is_of_pairs():
    assert bench._ratio([1.0, 10.0, 1.2], [1.0, 10.0, 1.0]) == 1.0


# ------------------------------------------------------------------------------------------- leaks


def test_the_slope_is_what_grows_for_each_sample():
    assert slope([5.0] * 10) == 0
    assert slope([100.0 * number for number in range(50)]) == 100
    assert (
        slope([9000.0] * 10 + [float(number) for number in range(40)]) == 1
    )  # the start is no leak
    noisy = [3.0 * number + (5000 if number % 7 == 0 else 0) for number in range(100)]
    assert slope(noisy) == pytest.approx(3, abs=0.5)
    assert slope([1.0]) == slope([]) == 0


def test_growth_is_not_good(monkeypatch):
    def found(what, settings, count):
        each = {"pictures": 60_000.0, "switches": 1_900_000.0}[what]
        grown = [each * number for number in range(count)]
        return {"memory": grown, "handles": [20.0] * count, "objects": [1e5] * count}

    monkeypatch.setattr(bench_leaks, "_run", found)
    result = bench_leaks.measure(Settings(), lambda _: None)
    figures = {figure.name: (round(figure.value, 3), figure.good) for figure in result.figures}
    assert figures == {
        "leak_pictures": (60.0, False),
        "leak_switches": (1.9, True),
        "leak_handles": (0.0, True),
        "leak_objects": (0.0, True),
    }
    assert len(result.raw["pictures_memory"]) == 300 and len(result.raw["switches_memory"]) == 50
    for language in ("en", "zh"):
        assert "bench." not in bench.table(result, language)


def test_what_is_kept_shows(tmp_path, monkeypatch):
    """A studio that keeps something of every job, measured as the real one is."""
    kept = []

    def run(studio, request):
        held = mmap.mmap(-1, 300_000)  # what was freed before it cannot serve
        held.write(b"x" * 300_000)
        kept.append(([held], open(os.devnull, "rb")))  # noqa: SIM115

    monkeypatch.setattr(bench_leaks, "_one", run)
    monkeypatch.setattr(
        "modules.app.build_studio", lambda settings, **_: SimpleNamespace(close=int)
    )
    gc.collect()
    gc.freeze()  # what other tests left is not counted, and nothing of it goes while this one counts
    try:
        found = bench_leaks.make_pictures(Settings(), 10)
    finally:
        gc.unfreeze()
    for (held,), file in kept:
        held.close()
        file.close()
    assert slope(found["memory"]) > 200_000
    assert slope(found["handles"]) == 1
    assert slope(found["objects"]) >= 2


def test_a_leak_run_that_fails_says_its_last_words(tmp_path):
    with pytest.raises(UserError, match=r"pictures could not be measured: .*model"):
        bench_leaks._run("pictures", Settings(models_dir=tmp_path, extensions_dir=tmp_path), 1)


def test_the_models_are_two_and_take_turns(monkeypatch):
    asked = []
    monkeypatch.setattr(bench_leaks, "_one", lambda studio, request: asked.append(request.model))
    monkeypatch.setattr(
        "modules.app.build_studio", lambda settings, **_: SimpleNamespace(close=lambda: None)
    )
    bench_leaks.change_models(Settings(), 4)
    assert len(set(asked)) == 2 and asked[:2] == asked[2:]
