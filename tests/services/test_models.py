"""Finding models by name."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from modules.errors import ModelFileError, UnknownNameError
from modules.library.cards import Problem, ScanResult, find
from modules.services.models import Models


@pytest.fixture
def models(tmp_path):
    error = ModelFileError("error.model.missing", file=Path("unet"))
    there = (SimpleNamespace(name="tiny", title="Tiny"),)
    result = ScanResult(there, (Problem(tmp_path / "Broken.safetensors", error),))
    return Models(lambda: result, find, "")


@pytest.mark.parametrize("name", ["broken", "Broken.safetensors"])
def test_a_model_that_cannot_be_used_says_why(models, name):
    with pytest.raises(ModelFileError, match="unet is missing"):
        models.find(name)


def test_others_are_unknown(models):
    with pytest.raises(UnknownNameError, match="no model called “brokn”"):
        models.find("brokn")
    assert models.find("TINY").name == "tiny"
