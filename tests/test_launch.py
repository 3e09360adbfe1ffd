"""What launch.sh decides, tried with a Python that only pretends: no network, no real environment.

Each test has a folder with launch.sh, its lock files and a PATH of its own. `calls` lists what the pretended Pythons
were asked to do.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(os.name == "nt", reason="launch.sh is for Linux and macOS")

# All that launch.sh needs of a system, besides Python (cp is for the pretended Python).
TOOLS = (
    "bash", "sh", "env", "awk", "cat", "chmod", "cksum", "cp", "df", "dirname", "du", "find", "grep", "head", "ls", "mkdir", "mv",
    "printf", "readlink", "rm", "sed", "sleep", "tail", "tr", "uname", "xargs",
)  # fmt: skip

# Answers like a Python: its version, its modules, `-m venv`, `-m pip`, and programs that it only writes down.
FAKE_PYTHON = r"""#!/bin/bash
version=@VERSION@
log() { printf '%s\n' "$*" >>"$CALLS"; }
case "$*" in
*version_info*) echo "${version%.*}" ;;
*"import venv"*) [ -z "${FAKE_NO_VENV:-}" ] ;;
"-m venv"*)
    folder=${*: -1}
    log "venv $version"
    rm -rf "$folder" && mkdir -p "$folder/bin" && cp "$0" "$folder/bin/python"
    printf 'home = x\nversion = %s\n' "$version" >"$folder/pyvenv.cfg" ;;
"-m pip --version"*) ;;
"-m pip list"*) printf '%s\n' torch==2.14.1+cpu nvidia-cublas==13 gradio==6.31 ;;
"-m pip uninstall"*) log "uninstall ${*: -1}" ;;
"-m pip install"*)
    while [ "$1" != --log ]; do shift; done
    pip_log=$2; shift 2
    log "pip $*"
    [ -z "${FAKE_PIP_SLOW:-}" ] || sleep "$FAKE_PIP_SLOW"
    case "$*" in *"${FAKE_PIP_FAILS_AT:-nothing at all}"*) printf '%s\n' "$FAKE_PIP_SAYS" >>"$pip_log"; exit 1 ;; esac ;;
*) log "run $*" ;;
esac
"""


class House:
    """A copy of the project as far as launch.sh sees it."""

    def __init__(self, root: Path, tools: Path) -> None:
        self.root = root
        self.bin = root.parent / "bin"
        self.calls_file = root.parent / "calls"
        (root / "requirements").mkdir(parents=True)
        self.bin.mkdir()
        shutil.copy(PROJECT / "launch.sh", root)
        (root / "requirements" / "lock.txt").write_text("gradio==6.31.0\n")
        (root / "requirements" / "torch.txt").write_text("torch==2.14.1\n")
        (root / "requirements" / "test.txt").write_text("pytest==9\n")
        self.environ = {
            "PATH": f"{self.bin}:{tools}",
            "CALLS": str(self.calls_file),
            "HOME": str(root.parent),
            "LC_ALL": "C.UTF-8",
        }

    def command(self, name: str, text: str) -> Path:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def python(self, version: str = "3.12.4", name: str = "python3") -> Path:
        return self.command(name, FAKE_PYTHON.replace("@VERSION@", version))

    def start(
        self, *arguments: str, cwd: Path | None = None, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.root / "launch.sh", *arguments],
            env=self.environ | environ,
            cwd=cwd or self.root,
            text=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=30,
            check=False,
        )

    def calls(self) -> list[str]:
        """What was done since the last look."""
        if not self.calls_file.exists():
            return []
        lines = self.calls_file.read_text().splitlines()
        self.calls_file.unlink()
        return [line.replace(str(self.root), "HERE") for line in lines]

    @property
    def stamp(self) -> Path:
        return self.root / ".venv" / "noisette-stamp"


WHOLE = ["run -m pytest -m not browser"]
"""All tests but those that drive a browser."""


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PATH with the tools of the system and no Python."""
    folder = tmp_path_factory.mktemp("tools")
    for name in TOOLS:
        found = shutil.which(name)
        assert found, f"{name} is missing on this machine"
        (folder / name).symlink_to(found)
    for name, text in {
        "uname": 'case "$1" in -m) echo x86_64 ;; -sm) echo Linux x86_64 ;; *) echo Linux ;; esac',
        "df": DF,
    }.items():
        (folder / name).unlink()
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    return folder


DF = """echo "Filesystem 1024-blocks Used Available Capacity Mounted"; echo "disk 1 1 $((${FAKE_FREE_GB:-100} * 1048576)) 1% /" """


@pytest.fixture
def house(tmp_path: Path, tools: Path) -> House:
    return House(tmp_path / "Noi sette 榛子", tools)


INSTALL = [
    "pip --quiet --progress-bar off --no-deps --require-hashes -r HERE/requirements/lock.txt",
    "pip --quiet --progress-bar off -r HERE/requirements/torch.txt",
]


# ---------------------------------------------------------------------------------------------------- the ordinary way


def test_the_first_start_installs_and_then_starts(house):
    house.python("3.12.4")
    done = house.start("serve", "--port", "1234")
    assert done.returncode == 0, done.stderr
    assert house.calls() == ["venv 3.12.4", *INSTALL, "run HERE/webui.py serve --port 1234"]


def test_the_second_start_only_starts(house):
    house.python()
    house.start()
    house.calls()
    for python in house.bin.glob("python*"):
        python.unlink()  # not even looked for
    done = house.start()
    assert (done.returncode, done.stderr) == (0, "")
    assert house.calls() == ["run HERE/webui.py"]


def test_arguments_keep_their_spaces_and_the_folder_of_the_caller(house, tmp_path):
    house.python()
    house.start()
    house.calls()
    place = tmp_path / "elsewhere"
    place.mkdir()
    house.start("txt2img", "a red  apple", "", cwd=place)
    assert house.calls() == ["run HERE/webui.py txt2img a red  apple "]


def test_it_may_be_started_through_a_link(house, tmp_path):
    house.python()
    link = tmp_path / "link"
    link.symlink_to(house.root / "launch.sh")
    subprocess.run([link], env=house.environ, capture_output=True, check=True, timeout=30)
    assert house.calls()[-1] == "run HERE/webui.py"


def test_the_exit_status_is_the_program_s(house):
    house.python()
    house.start()
    (house.root / ".venv/bin/python").write_text("#!/bin/bash\nexit 7\n")
    assert house.start().returncode == 7


def test_test_installs_the_test_extra_once(house):
    house.python()
    done = house.start("test", "-k", "x")
    assert done.returncode == 0, done.stderr
    extra = (
        "pip --quiet --progress-bar off --no-deps --require-hashes -r HERE/requirements/test.txt"
    )
    assert house.calls() == ["venv 3.12.4", *INSTALL, extra, "run -m pytest -k x"]
    house.start("test")
    assert house.calls() == WHOLE
    (house.root / "requirements" / "test.txt").write_text("pytest==10\n")
    house.start("test")
    assert house.calls() == [extra, *WHOLE]


def test_the_environment_has_the_command(house):
    house.python()
    house.start()
    house.calls()
    command = house.root / ".venv" / "bin" / "noisette"
    subprocess.run([command, "doctor"], env=house.environ, check=True, timeout=30)
    assert house.calls() == ["run HERE/.venv/bin/../../webui.py doctor"]


# ---------------------------------------------------------------------------------------------------- what makes it install again


def test_a_changed_lock_file_is_installed(house):
    house.python()
    house.start()
    house.calls()
    (house.root / "requirements" / "lock.txt").write_text("gradio==6.32.0\n")
    house.start()
    assert house.calls() == [*INSTALL, "run HERE/webui.py"]


def test_an_installation_that_was_broken_off_is_gone_on_with(house):
    house.python()
    house.start(FAKE_PIP_FAILS_AT="torch.txt", FAKE_PIP_SAYS="?")
    assert not house.stamp.exists()
    assert not (house.root / ".venv.lock").exists()
    house.calls()
    house.start()
    assert house.calls() == [*INSTALL, "run HERE/webui.py"]


def test_an_environment_whose_python_is_gone_is_made_anew(house):
    house.python()
    house.start()
    house.calls()
    python = house.root / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3.12")
    house.start()
    assert house.calls()[0] == "venv 3.12.4"


def test_a_moved_folder_is_looked_over(house, tmp_path):
    house.python()
    house.start()
    house.calls()
    house.root = house.root.rename(tmp_path / "moved")
    house.start()
    assert house.calls() == [*INSTALL, "run HERE/webui.py"]


def test_another_python_that_is_asked_for_makes_it_anew(house):
    house.python("3.12.4")
    house.start()
    house.calls()
    other = house.python("3.13.0", "other python")
    house.start(NOISETTE_PYTHON=str(other))
    assert house.calls()[0] == "venv 3.13.0"
    house.start()
    assert house.calls() == ["run HERE/webui.py"]


def test_a_folder_that_is_no_environment_is_left_alone(house):
    house.python()
    (house.root / ".venv").mkdir()
    (house.root / ".venv" / "letters.txt").write_text("mine")
    done = house.start()
    assert done.returncode == 1
    assert "it is no Python environment" in done.stderr
    assert (house.root / ".venv" / "letters.txt").read_text() == "mine"


# ---------------------------------------------------------------------------------------------------- which Python


def test_the_newest_supported_python_is_taken(house):
    house.python("3.11.9", "python3.11")
    house.python("3.13.1", "python3.13")
    house.python("3.14.0", "python3")
    house.start()
    assert house.calls()[0] == "venv 3.13.1"


def test_a_name_that_does_not_run_is_passed_over(house):
    house.command("python3.13", "#!/bin/bash\necho 'python3.13: command not found' >&2\nexit 127\n")
    house.python("3.11.9", "python3.11")
    house.start()
    assert house.calls()[0] == "venv 3.11.9"


def test_no_python(house):
    done = house.start()
    assert done.returncode == 1
    assert "no Python was found" in done.stderr
    assert "apt install python3" in done.stderr
    assert "没有找到 Python" in done.stderr


def test_only_a_wrong_python(house):
    house.python("3.9.6")
    house.python("3.14.2", "python")
    done = house.start()
    assert done.returncode == 1
    assert "needs Python 3.11, 3.12 or 3.13. Found only: python3=3.9 python=3.14" in done.stderr
    assert "目前只找到" in done.stderr


def test_the_python_that_is_named_is_the_only_one_tried(house):
    house.python("3.12.4")
    done = house.start(NOISETTE_PYTHON="/no/such/python")
    assert done.returncode == 1
    assert "NOISETTE_PYTHON is /no/such/python, and no Python runs under that name" in done.stderr


def test_a_python_without_venv(house):
    house.python("3.11.2")
    done = house.start(FAKE_NO_VENV="1")
    assert done.returncode == 1
    assert "sudo apt install python3.11-venv" in done.stderr


# ---------------------------------------------------------------------------------------------------- which torch


def test_a_processor_only_machine_hears_of_the_small_build(house):
    house.python()
    done = house.start()
    assert "No NVIDIA GPU was found" in done.stderr
    assert "TORCH_INDEX_URL=" in done.stderr
    assert "CPU 版" in done.stderr


def test_with_nvidia_nothing_needs_saying_of_the_small_build(house):
    house.python()
    house.command("nvidia-smi", "#!/bin/bash\n")
    done = house.start()
    assert "NVIDIA found" in done.stderr
    assert "TORCH_INDEX_URL" not in done.stderr


def test_amd_is_told_what_to_do(house):
    house.python()
    house.command("rocminfo", "#!/bin/bash\n")
    assert "ROCm" in house.start().stderr


def test_torch_from_another_index(house):
    house.python()
    done = house.start(TORCH_INDEX_URL="file:///index of cpu")
    assert "NVIDIA" not in done.stderr
    assert (
        house.calls()[2]
        == "pip --quiet --progress-bar off -r HERE/requirements/torch.txt --index-url file:///index of cpu"
    )


def test_torch_by_name_or_by_file(house):
    house.python()
    house.start(NOISETTE_TORCH="torch==2.9.1 '/my wheels/torchvision.whl'")
    assert (
        house.calls()[2] == "pip --quiet --progress-bar off torch==2.9.1 /my wheels/torchvision.whl"
    )


def test_the_choice_of_torch_is_remembered(house):
    house.python()
    house.start(TORCH_INDEX_URL="file:///cpu")
    house.calls()
    house.start()
    assert house.calls() == ["run HERE/webui.py"]
    (house.root / "requirements" / "lock.txt").write_text("new\n")
    house.start()
    assert (
        house.calls()[1]
        == "pip --quiet --progress-bar off -r HERE/requirements/torch.txt --index-url file:///cpu"
    )


def test_the_choice_of_torch_survives_a_failure(house):
    house.python()
    house.start(TORCH_INDEX_URL="file:///cpu", FAKE_PIP_FAILS_AT="lock.txt", FAKE_PIP_SAYS="?")
    house.calls()
    house.start()
    assert (
        house.calls()[1]
        == "pip --quiet --progress-bar off -r HERE/requirements/torch.txt --index-url file:///cpu"
    )


def test_another_torch_replaces_the_present_one(house):
    house.python()
    house.start()
    house.calls()
    house.start(TORCH_INDEX_URL="file:///cpu")
    assert house.calls() == [
        "uninstall torch",
        "uninstall nvidia-cublas",
        INSTALL[0],
        "pip --quiet --progress-bar off -r HERE/requirements/torch.txt --index-url file:///cpu",
        "run HERE/webui.py",
    ]


# ---------------------------------------------------------------------------------------------------- what goes wrong


def test_a_full_disk_is_seen_before(house):
    house.python()
    done = house.start(FAKE_FREE_GB="5")
    assert done.returncode == 1
    assert "has 5 GB free, the installation needs about 7 GB" in done.stderr
    assert "磁盘空间不足" in done.stderr
    assert house.calls() == []


def test_the_cpu_build_needs_less(house):
    house.python()
    assert house.start(FAKE_FREE_GB="5", TORCH_INDEX_URL="file:///cpu").returncode == 0


def test_the_check_of_the_disk_can_be_left_out(house):
    house.python()
    assert house.start(FAKE_FREE_GB="1", NOISETTE_SKIP_SPACE_CHECK="1").returncode == 0


@pytest.mark.parametrize(
    ("pip_says", "we_say"),
    [
        ("WARNING: Retrying ... NewConnectionError(...)", "could not be reached"),
        ("ERROR: Could not install packages: ProxyError('Cannot connect')", "PIP_PROXY"),
        ("OSError: [Errno 28] No space left on device", "the disk ran full"),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE",
            "its checksum differs",
        ),
        (
            "ERROR: No matching distribution found for torch==2.14.1",
            "No matching distribution found for torch==2.14.1",
        ),
        ("connection error: HTTPConnection", "could not be reached"),
        ("something nobody has seen before", "Its messages stand above"),
    ],
)
def test_a_failure_of_pip_is_explained(house, pip_says, we_say):
    house.python()
    done = house.start(FAKE_PIP_FAILS_AT="torch.txt", FAKE_PIP_SAYS=pip_says)
    assert done.returncode == 1
    assert we_say in done.stderr
    assert "install.log" in done.stderr
    assert any("一" <= character <= "鿿" for character in done.stderr.split("noisette:")[1])


def test_a_missing_wheel_without_a_network(house):
    house.python()
    says = "ERROR: No matching distribution found for six"
    done = house.start(FAKE_PIP_FAILS_AT="lock.txt", FAKE_PIP_SAYS=says, PIP_NO_INDEX="1")
    assert "PIP_NO_INDEX is set" in done.stderr
    assert "离线安装" in done.stderr


def test_a_folder_that_may_not_be_written(house):
    house.python()
    (house.root / ".venv.lock").write_text("")  # no folder can be made there, for root neither
    done = house.start()
    assert done.returncode == 1
    assert "cannot write in" in done.stderr
    assert "无法写入" in done.stderr


# ---------------------------------------------------------------------------------------------------- two at a time


def begin(house: House, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [house.root / "launch.sh"],
        env=house.environ | environ,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A runner in the background ignores Ctrl+C, and what it starts would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(200):
        if true():
            return
        time.sleep(0.05)
    pytest.fail("it did not come true within ten seconds")


def test_a_second_start_waits_for_the_first(house):
    house.python()
    with begin(house, FAKE_PIP_SLOW="1") as first:
        wait_until((house.root / ".venv.lock" / "pid").exists)
        second = house.start()
        assert second.returncode == 0, second.stderr
        assert f"(process {first.pid}) is installing" in second.stderr
        assert first.wait(20) == 0
        assert first.stderr
        first.stderr.read()
    assert sorted(house.calls()) == sorted(
        ["venv 3.12.4", *INSTALL, "run HERE/webui.py", "run HERE/webui.py"]
    )


def test_a_lock_whose_owner_is_dead_is_taken_over(house):
    house.python()
    (house.root / ".venv.lock").mkdir()
    (house.root / ".venv.lock" / "pid").write_text("999999999\n")
    done = house.start()
    assert done.returncode == 0, done.stderr
    assert "was broken off" in done.stderr
    assert not (house.root / ".venv.lock").exists()


def test_a_lock_without_an_owner_is_taken_over_when_it_is_old(house):
    house.python()
    lock = house.root / ".venv.lock"
    lock.mkdir()
    os.utime(lock, (time.time() - 300,) * 2)
    assert house.start().returncode == 0


def test_breaking_off_lets_the_next_start_go_on(house):
    house.python()
    with begin(house, FAKE_PIP_SLOW="2") as first:
        wait_until(lambda: house.calls_file.exists() and "pip" in house.calls_file.read_text())
        os.killpg(first.pid, signal.SIGINT)
        assert first.wait(20) == 130
        assert first.stderr
        first.stderr.read()
    assert not (house.root / ".venv.lock").exists()
    assert not house.stamp.exists()
    house.calls()
    assert house.start().returncode == 0
    assert house.calls()[-1] == "run HERE/webui.py"


def test_being_killed_lets_the_next_start_go_on(house):
    house.python()
    with begin(house, FAKE_PIP_SLOW="2") as first:
        wait_until(lambda: house.calls_file.exists() and "pip" in house.calls_file.read_text())
        os.killpg(first.pid, signal.SIGKILL)
        first.wait(20)
    house.calls()
    done = house.start()
    assert done.returncode == 0
    assert house.calls()[-1] == "run HERE/webui.py"


# ------------------------------------------------------------------------------------------- the two launchers

BATCH = (PROJECT / "launch.bat").read_text(encoding="utf-8")
SHELL = (PROJECT / "launch.sh").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "said",
    [
        "no Python was found",
        "Noisette needs Python 3.11, 3.12 or 3.13",
        "not enough disk space",
        "the disk ran full while installing",
        "the package index could not be reached",
        "a wheel is missing while installing",
        "has no build for this machine",
        "its checksum differs",
        "pip could not install",
        "cannot write in",
        "it is no Python environment",
        "is installing; waiting for it",
    ],
)
def test_both_launchers_say_it(said):
    assert said in SHELL
    assert said in BATCH


@pytest.mark.parametrize(
    "name",
    [
        "NOISETTE_PYTHON",
        "NOISETTE_TORCH",
        "TORCH_INDEX_URL",
        "NOISETTE_SKIP_SPACE_CHECK",
        "PIP_NO_INDEX",
        "PIP_FIND_LINKS",
        "--require-hashes",
    ],
)
def test_both_launchers_know_it(name):
    assert name in SHELL
    assert name in BATCH


def test_the_batch_file_hands_no_version_to_a_call():
    """As an argument of `call`, `torch==2.14.1` is parted at the "="."""
    calls = [line for line in BATCH.splitlines() if "call :pip_install" in line]
    assert len(calls) == 3
    assert all(line.split("call :pip_install", 1)[1].count('"') == 2 for line in calls)
    assert not [line for line in calls if "%" in line]


def test_every_label_of_the_batch_file_exists():
    labels = set(re.findall(r"^:(\w+)", BATCH, re.MULTILINE))
    used = set(re.findall(r"(?:goto |call :)(\w+)", BATCH))
    assert used - labels == set()
    assert labels - used == set()
