"""What the doctor finds, and that he says what to do."""

import stat
import sys

import pytest

from modules import cli, doctor, doctor_driver
from modules.doctor import Level
from modules.doctor_driver import Driver, find_driver
from modules.settings import Settings
from modules.texts import catalogue


@pytest.fixture
def settings(tmp_path):
    for name in ("models", "extensions"):
        (tmp_path / name).mkdir()
    return Settings(
        data_dir=tmp_path / "home",
        models_dir=tmp_path / "models",
        extensions_dir=tmp_path / "extensions",
        port=0,
    )


@pytest.fixture(autouse=True)
def no_torch_process(monkeypatch):
    """Importing torch takes seconds; the one test that needs it undoes this."""
    monkeypatch.setattr(doctor, "_TORCH_PROBE", TORCH_ON_CPU)


@pytest.fixture(autouse=True)
def no_driver(monkeypatch, tmp_path):
    """Whatever this machine has: a test that wants a driver makes one."""
    monkeypatch.setattr(doctor_driver, "_SMI", "no-such-program")
    for name in ("NVIDIA_MODULE", "AMD_MODULE", "ROCM"):
        monkeypatch.setattr(doctor_driver, name, tmp_path / "no-such-place" / name)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr(doctor, "find_driver", lambda: find_driver(PATIENT))


PATIENT = 300.0
"""Seconds for a double that answers at once, were the machine not busy with other tests."""

TORCH_ON_CPU = """
print('{"version": "2", "cuda_build": "", "device": "cpu", "name": "", "memory": 0}')
"""


def found(settings, area):
    return [finding for finding in doctor.examine(settings) if finding.area == area]


def test_every_text_is_in_the_catalogue(settings):
    for language in ("en", "zh"):
        for finding in doctor.examine(settings):
            assert finding.key in catalogue(language)
            assert "{" not in finding.message(language)


def test_no_model_is_broken_and_says_where_to_put_one(settings):
    (finding,) = found(settings, "models")
    assert finding.level is Level.BROKEN
    assert "checkpoints" in finding.message("en")


def test_a_broken_model_file_is_named(settings):
    folder = settings.models_dir / "checkpoints"
    folder.mkdir()
    (folder / "bad.safetensors").write_bytes(b"<html>")
    problem, _ = found(settings, "models")
    assert problem.level is Level.WARNING
    assert "bad.safetensors" in problem.message("en")


def test_a_broken_extension_is_named(settings):
    (settings.extensions_dir / "bad").mkdir()
    (settings.extensions_dir / "bad" / "extension.toml").write_text("name = ")
    first, _ = found(settings, "extensions")
    assert first.level is Level.WARNING
    assert first.message("en").startswith("bad is off: ")


def test_a_folder_that_cannot_be_written(settings):
    settings.data_dir.write_text("a file in the way")
    assert all(finding.level is Level.BROKEN for finding in found(settings, "data"))


@pytest.mark.parametrize(
    ("probe", "level"),
    [
        (TORCH_ON_CPU, Level.GOOD),
        ("raise ImportError('libcudart is missing')", Level.BROKEN),
        ("import os; os.kill(os.getpid(), 11)", Level.BROKEN),
    ],
)
def test_torch(settings, monkeypatch, probe, level):
    monkeypatch.setattr(doctor, "_TORCH_PROBE", probe)
    (finding,) = doctor._torch(None)
    assert finding.level is level


KERNEL = """NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (dvs-builder)
GCC version:  gcc version 12.2.0
"""


@pytest.fixture
def smi(monkeypatch, tmp_path):
    """A double of nvidia-smi that does what it is told."""

    def made(rest: str) -> None:
        file = tmp_path / "nvidia-smi"
        file.write_text(f"#!{sys.executable}\nimport sys, time\n{rest}\n", encoding="utf-8")
        file.chmod(file.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setattr(doctor_driver, "_SMI", str(file))

    return made


def test_no_driver(settings):
    assert find_driver() is None
    (finding,) = found(settings, "driver")
    assert finding.level is Level.GOOD
    assert "processor" in finding.message("en")


def test_nvidia_smi_says_version_and_cards(settings, smi):
    smi('print("580.95.05, NVIDIA H200\\n580.95.05, NVIDIA L4")')
    assert find_driver(PATIENT) == Driver("NVIDIA", "580.95.05", ("NVIDIA H200", "NVIDIA L4"))
    (finding,) = found(settings, "driver")
    assert finding.message("en") == "NVIDIA driver 580.95.05: NVIDIA H200, NVIDIA L4"
    assert finding.message("zh").startswith("NVIDIA 驱动 580.95.05")


def test_without_nvidia_smi_the_kernel_says_the_version(monkeypatch, tmp_path):
    file = tmp_path / "version"
    file.write_text(KERNEL, encoding="utf-8")
    monkeypatch.setattr(doctor_driver, "NVIDIA_MODULE", file)
    assert find_driver() == Driver("NVIDIA", "580.95.05")
    file.write_text(KERNEL.replace("Open ", "").replace("580.95.05", "470.42"), encoding="utf-8")
    assert find_driver().version == "470.42"


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ('sys.exit("NVIDIA-SMI has failed because it could not communicate")', "has failed"),
        ('print("No devices were found"); sys.exit(6)', "No devices"),
        ("sys.exit(9)", "exit 9"),
        ("", "exit 0"),
    ],
)
def test_a_driver_that_does_not_work(settings, smi, rest, said):
    smi(rest)
    (finding,) = found(settings, "driver")
    assert finding.level is Level.WARNING
    assert said in finding.message("en")


def test_nvidia_smi_that_hangs_is_given_up(smi):
    smi("time.sleep(600)")
    assert find_driver(0.2).why.key == "doctor.driver.slow"


def test_nvidia_smi_that_cannot_be_started(smi, tmp_path):
    smi("")
    (tmp_path / "nvidia-smi").write_text("#!/no/such/program\n", encoding="utf-8")
    assert find_driver().why.key.startswith("why.")


def test_amd(monkeypatch, tmp_path):
    (tmp_path / "amdgpu").mkdir()
    monkeypatch.setattr(doctor_driver, "AMD_MODULE", tmp_path / "amdgpu")
    assert find_driver() == Driver("AMD")
    (tmp_path / "amdgpu" / "version").write_text("6.12.12\n", encoding="utf-8")
    (tmp_path / "rocm").write_text("6.4.1-83\n", encoding="utf-8")
    monkeypatch.setattr(doctor_driver, "ROCM", tmp_path / "rocm")
    assert find_driver() == Driver("AMD", "6.12.12", rocm="6.4.1-83")


def test_apple(monkeypatch):
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    monkeypatch.setattr("platform.mac_ver", lambda: ("15.1", ("", "", ""), "arm64"))
    assert find_driver() == Driver("Apple", "15.1")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert find_driver() is None


@pytest.mark.parametrize(
    ("driver", "cuda", "rocm", "level", "key"),
    [
        (Driver("NVIDIA", "580"), "13.0", "", Level.WARNING, "no_gpu"),
        (Driver("NVIDIA", "580"), "", "", Level.WARNING, "other_build"),
        (Driver("NVIDIA", why="it is lost"), "13.0", "", Level.GOOD, "cpu"),
        (Driver("AMD"), "13.0", "", Level.GOOD, "other_build"),
        (Driver("AMD"), "", "6.4", Level.WARNING, "no_gpu"),
        (Driver("Apple", "11"), "", "", Level.GOOD, "other_build"),
        (None, "13.0", "", Level.GOOD, "cpu"),
    ],
)
def test_a_torch_that_does_not_fit_the_driver(monkeypatch, driver, cuda, rocm, level, key):
    probe = TORCH_ON_CPU.replace(
        '"cuda_build": ""', f'"cuda_build": "{cuda}", "rocm_build": "{rocm}"'
    )
    monkeypatch.setattr(doctor, "_TORCH_PROBE", probe)
    (finding,) = doctor._torch(driver)
    assert (finding.level, finding.key) == (level, f"doctor.torch.{key}")
    for language in ("en", "zh"):
        assert "{" not in finding.message(language)


def test_every_driver_is_told_in_both_languages():
    for driver in (
        None,
        Driver("NVIDIA", "580", ("L4",)),
        Driver("NVIDIA", why="x"),
        Driver("AMD", "6", rocm="6.4"),
        Driver("Apple", "15"),
    ):
        (finding,) = doctor._driver(driver)
        for language in ("en", "zh"):
            assert "{" not in finding.message(language)
            assert finding.key not in finding.message(language)


def test_a_damaged_database_is_broken(settings):
    settings.database.parent.mkdir(parents=True)
    settings.database.write_bytes(b"x" * 5000)
    (finding,) = found(settings, "database")
    assert finding.level is Level.BROKEN
    assert "damaged" in finding.message("en")


def test_a_port_in_use_is_a_warning(settings):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = settings.model_copy(update={"port": taken.getsockname()[1]})
        (finding,) = found(busy, "port")
    assert finding.level is Level.WARNING


def test_the_command(settings, capsys, tmp_path):
    words = ["doctor", "--data-dir", str(tmp_path / "d"), "--models-dir", str(settings.models_dir)]
    assert cli.main(words) == 1
    out = capsys.readouterr().out
    assert "broken" in out
    assert cli.main([*words, "--json", "--lang", "zh"]) == 1
    assert '"level": "broken"' in capsys.readouterr().out
