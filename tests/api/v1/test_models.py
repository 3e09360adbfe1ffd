"""Checkpoints as clients name them."""

from types import SimpleNamespace

import pytest

from modules.api.v1.models import Checkpoints
from modules.errors import ModelFileError, UnknownNameError


@pytest.mark.parametrize(
    "error",
    [
        UnknownNameError("error.model.unknown", found="tiny", known="-"),
        ModelFileError("error.model.damaged", name="tiny"),
    ],
)
def test_a_default_model_that_cannot_be_used_is_none(error: Exception):
    """Its file may be damaged: settings and lists are asked for before anything else."""

    def model(name):
        raise error

    studio = SimpleNamespace(model=model, models=lambda: SimpleNamespace(cards=()))
    assert Checkpoints(studio, lambda card: "").default() is None
    with pytest.raises(type(error)):
        Checkpoints(studio, lambda card: "").find(None)
