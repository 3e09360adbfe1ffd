"""The arithmetic of the bench; the measuring itself is `noisette bench`."""

import json

import pytest

from modules import bench
from modules.bench import Figure, Result
from modules.errors import UserError
from modules.settings import Settings
from modules.texts import catalogue


@pytest.fixture
def fake(monkeypatch):
    """Measured values that do not take half a minute."""
    values = {"page": 4.0}
    monkeypatch.setattr(bench, "_import_gradio", lambda: 2.0)
    monkeypatch.setattr(
        bench, "_page", lambda _: {"page": values["page"], "memory": 200.0, "stop": 1.0}
    )
    monkeypatch.setattr(bench, "_picture", lambda _: 9.0)
    monkeypatch.setattr(
        bench, "_engine", lambda *_: {"generate": [1.1, 2.2, 1.1], "bare": [1.0, 2.0, 1.0]}
    )
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


def test_every_figure_has_its_words(fake):
    result = bench.measure(Settings(), 1, lambda _: None)
    for language in ("en", "zh"):
        for figure in result.figures:
            assert f"bench.{figure.name}" in catalogue(language)
        assert "bench." not in bench.table(result, language)


def test_the_edge_is_good():
    assert Figure("x", 1.15, 1.15, "x").good
    assert not Result((Figure("x", 1.16, 1.15, "x"),), {}, {}).good


def test_a_part_that_does_not_start_says_its_last_words(tmp_path):
    settings = Settings(models_dir=tmp_path, extensions_dir=tmp_path)
    with pytest.raises(UserError, match=r"txt2img could not be measured: noisette: .*model"):
        bench._picture(settings)


def test_the_ratio_is_of_pairs():
    assert bench._ratio([1.0, 10.0, 1.2], [1.0, 10.0, 1.0]) == 1.0
