"""File, environment and flags become one frozen value; a bad one is named."""

from pathlib import Path

import pytest

from modules.errors import UserError
from modules.settings import Settings


def load(folder: Path, text: str = "", **environ: str) -> Settings:
    if text:
        (folder / "settings.json").write_text(text, encoding="utf-8")
    return Settings.load({"data_dir": folder}, environ)


def test_flags_win_over_environment_and_environment_over_file(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"port": 1, "host": "a", "language": "zh"}')
    environ = {"NOISETTE_PORT": "2", "NOISETTE_HOST": "b"}
    settings = Settings.load({"data_dir": tmp_path, "port": 3}, environ)
    assert (settings.port, settings.host, settings.language) == (3, "b", "zh")


def test_everything_written_goes_below_the_data_folder(tmp_path: Path) -> None:
    settings = load(tmp_path)
    for path in (settings.outputs_dir, settings.database, settings.spool_dir):
        assert path.is_relative_to(tmp_path)


@pytest.mark.parametrize(
    "text, said",
    [
        ('{"port": "many"}', "port is 'many'"),
        ('{"prot": 7860}', "prot is 7860"),
        ('{"port": 7860', "settings.json cannot be read"),
        ("[]", "not a JSON object"),
        ('{"port": 7860', "it is not JSON (line 1, column"),
        ('{"limits": {"max_steps": "x"}}', "limits.max_steps is 'x'"),
    ],
)
def test_a_bad_file_is_named_with_what_was_found(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    assert load(tmp_path, '\ufeff{"port": 1234}').port == 1234


def test_a_bad_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="port is 'x'"):
        load(tmp_path, NOISETTE_PORT="x")


def test_a_folder_of_models_that_is_not_there_is_named(tmp_path):
    with pytest.raises(
        UserError, match=r"models_dir names the folder .*nowhere, and there is none"
    ):
        Settings.load({"data_dir": tmp_path, "models_dir": tmp_path / "nowhere"})
