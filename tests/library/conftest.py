"""A tiny model folder, made once, and copies of it to spoil."""

import shutil
from pathlib import Path

import pytest

from tests.fixtures.tiny import make_tiny


@pytest.fixture(scope="session")
def pristine(tmp_path_factory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("library") / "tiny", card={})


@pytest.fixture
def models(tmp_path) -> Path:
    (tmp_path / "models" / "checkpoints").mkdir(parents=True)
    return tmp_path / "models"


@pytest.fixture
def tiny(models, pristine) -> Path:
    """A copy of the tiny model where the library looks for it."""
    return shutil.copytree(pristine, models / "checkpoints" / "tiny")
