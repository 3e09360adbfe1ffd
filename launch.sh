#!/usr/bin/env bash
# Starts Noisette, and makes what it needs the first time.
#
#   ./launch.sh [COMMAND] [arguments]   .venv/bin/python webui.py COMMAND ...; without a command: serve
#   ./launch.sh test [arguments]        the tests: all of them, or pytest with these arguments
#
# The first start makes .venv and installs requirements/lock.txt and PyTorch into it. Later starts find a stamp that says
# so, compare it with the files of today and go on at once, without the network. These variables change what is done:
#
#   NOISETTE_PYTHON            the Python to make .venv with (3.11, 3.12 or 3.13)
#   TORCH_INDEX_URL            package index to take torch and torchvision from, for example PyTorch's index of CPU builds
#   NOISETTE_TORCH             words for pip instead of requirements/torch.txt: "torch==2.14.1 torchvision==0.29.1",
#                              or wheel files (quote a path that has spaces)
#   NOISETTE_SKIP_SPACE_CHECK  1: install although the disk looks too small
#   PIP_...                    pip's own: PIP_FIND_LINKS and PIP_NO_INDEX install from a folder of wheels, PIP_PROXY, ...
#
# It is written for bash 3.2 (macOS has no newer one).
set -euo pipefail

# ------------------------------------------------------------------------------------------------ places and words

self=${BASH_SOURCE[0]}
while [ -L "$self" ]; do # started through a link: go to the real file
    target=$(readlink "$self")
    case $target in /*) self=$target ;; *) self=$(dirname "$self")/$target ;; esac
done
ROOT=$(cd "$(dirname "$self")" && pwd -P)

VENV=$ROOT/.venv
PYTHON=$VENV/bin/python
LOCK=$ROOT/.venv.lock
LOG=$VENV/install.log
STAMP=$VENV/noisette-stamp           # what the finished environment was made from
TEST_STAMP=$VENV/noisette-test-stamp # the same for the packages that only tests need
BASE_FILE=$VENV/noisette-base        # the Python that it was made with
TORCH_FILE=$VENV/noisette-torch      # the torch that was asked for

SUPPORTED="3.11 3.12 3.13"

say() { printf '%s\n' "$*" >&2; }

stop() { # stop MESSAGE ...: what was found and what to do, one line each, in English and in Chinese
    say ""
    printf 'noisette: %s\n' "$1" >&2
    shift
    local line
    for line in "$@"; do printf '  %s\n' "$line" >&2; done
    exit 1
}

# ------------------------------------------------------------------------------------------------ is all in place?

checksum() { cat "$@" 2>/dev/null | cksum; }

# What the environment must have been made from. Needs no Python, so that a start loses no time over it.
expected_stamp() { # expected_stamp TORCH_CHOICE
    printf 'place %s\n' "$ROOT"
    printf 'lock %s\n' "$(checksum "$ROOT/requirements/lock.txt" "$ROOT/requirements/torch.txt")"
    printf 'version %s\n' "$(sed -n 's/^version *= *//p' "$VENV/pyvenv.cfg" 2>/dev/null || true)"
    printf 'runs %s\n' "$(readlink -f "$PYTHON" 2>/dev/null || true)"
    printf 'base %s\n' "$(base_choice)"
    printf 'torch %s\n' "$1"
}

# The Python that is asked for now; when none is named, the one that the environment was made with.
base_choice() {
    if [ -n "${NOISETTE_PYTHON:-}" ]; then
        command -v "$NOISETTE_PYTHON" || printf '%s' "$NOISETTE_PYTHON"
    else
        cat "$BASE_FILE" 2>/dev/null || true
    fi
}

# The torch that is asked for now; when nothing is said, the one that was asked for at the installation.
torch_choice() {
    if [ -n "${NOISETTE_TORCH:-}${TORCH_INDEX_URL:-}" ]; then
        printf '%s from %s' "${NOISETTE_TORCH:-lock}" "${TORCH_INDEX_URL:-pip}" | tr '\n' ' '
    elif [ -f "$TORCH_FILE" ]; then
        cat "$TORCH_FILE"
    else
        printf 'lock from pip'
    fi
}

ready() {
    [ -x "$PYTHON" ] && [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$(expected_stamp "$(torch_choice)")" ]
}

expected_test_stamp() { checksum "$STAMP" "$ROOT/requirements/test.txt"; }

ready_for_tests() {
    [ -f "$TEST_STAMP" ] && [ "$(cat "$TEST_STAMP")" = "$(expected_test_stamp)" ]
}

# ------------------------------------------------------------------------------------------------ one at a time

release_lock() { rm -rf "$LOCK"; }

take_lock() {
    local told="" owner refused=0
    until mkdir "$LOCK" 2>/dev/null; do
        if [ ! -d "$LOCK" ]; then # let go just now, or we may not write here
            refused=$((refused + 1))
            [ "$refused" -lt 5 ] || stop "cannot write in $ROOT." \
                "Noisette keeps its Python environment beside its files. Move it to a folder that you may write to." \
                "无法写入 $ROOT。请把 Noisette 移到有写权限的文件夹。"
            continue
        fi
        owner=$(cat "$LOCK/pid" 2>/dev/null || true)
        if { [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; } ||
            { [ -z "$owner" ] && [ -n "$(find "$LOCK" -maxdepth 0 -mmin +1 2>/dev/null)" ]; }; then
            say "An earlier installation (process ${owner:-unknown}) was broken off; going on with it. 上次安装被中断，现在继续。"
            # Of several that see this only one moves it away.
            mv "$LOCK" "$LOCK.stale.$$" 2>/dev/null && rm -rf "$LOCK.stale.$$"
            continue
        fi
        [ -n "$told" ] || say "Another start (process ${owner:-unknown}) is installing; waiting for it. 另一个启动进程正在安装，请稍候。"
        told=yes
        sleep 1
    done
    printf '%s\n' "$$" >"$LOCK/pid"
    trap release_lock EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

# ------------------------------------------------------------------------------------------------ which Python

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null </dev/null; }

supported() { case " $SUPPORTED " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }

# Sets BASE to a Python that can make the environment, or stops.
find_python() {
    local name version seen="" bare=""
    if [ -n "${NOISETTE_PYTHON:-}" ]; then set -- "$NOISETTE_PYTHON"; else set -- python3.13 python3.12 python3.11 python3 python; fi
    for name in "$@"; do
        command -v "$name" >/dev/null 2>&1 || continue
        version=$(version_of "$name") || continue # a shim that points nowhere
        if ! supported "$version"; then
            seen="$seen $name=$version"
        elif ! "$name" -c 'import venv, ensurepip' >/dev/null 2>&1 </dev/null; then
            bare=$version
        else
            BASE=$(command -v "$name")
            say "Using Python $version: $BASE"
            return
        fi
    done
    if [ -n "$bare" ]; then
        stop "Python $bare was found, but it has no venv module, so it cannot make an environment." \
            "On Debian and Ubuntu install it with: sudo apt install python$bare-venv   Then start again." \
            "找到了 Python $bare，但缺少 venv 模块。Debian/Ubuntu 请运行: sudo apt install python$bare-venv，然后重新启动。"
    elif [ -n "$seen" ]; then
        stop "Noisette needs Python 3.11, 3.12 or 3.13. Found only:$seen" \
            "Install one of them (on macOS: brew install python@3.12) and start again, or name it: NOISETTE_PYTHON=/path/to/python ./launch.sh" \
            "Noisette 需要 Python 3.11、3.12 或 3.13，目前只找到:$seen。请安装其中之一，或用 NOISETTE_PYTHON 指定路径。"
    elif [ -n "${NOISETTE_PYTHON:-}" ]; then
        stop "NOISETTE_PYTHON is $NOISETTE_PYTHON, and no Python runs under that name." \
            "Set it to the path of a Python 3.11, 3.12 or 3.13, or unset it to let Noisette look for one." \
            "NOISETTE_PYTHON 指向的 $NOISETTE_PYTHON 不是可运行的 Python。请改为 3.11–3.13 的路径，或取消该变量。"
    fi
    stop "no Python was found (looked for: $*)." \
        "Install Python 3.11, 3.12 or 3.13 (Debian and Ubuntu: sudo apt install python3 python3-venv; macOS: brew install python@3.12) and start again." \
        "没有找到 Python。请安装 Python 3.11、3.12 或 3.13（Debian/Ubuntu: sudo apt install python3 python3-venv），然后重新启动。"
}

# ------------------------------------------------------------------------------------------------ which torch

# Sets NEED_GB, and says what is about to be installed where the choice matters.
consider_torch() { # consider_torch CHOICE
    NEED_GB=3
    case "$(uname -s)/$(uname -m)" in
    Darwin/x86_64)
        [ "$1" != "lock from pip" ] || stop "this Mac has an Intel processor; PyTorch makes no builds for it any more." \
            "If you have a build of your own, name it: NOISETTE_TORCH=\"/path/to/torch.whl /path/to/torchvision.whl\" ./launch.sh" \
            "PyTorch 已不再支持 Intel 处理器的 Mac。如有自行编译的版本，请用 NOISETTE_TORCH 指定。"
        ;;
    Linux/x86_64)
        [ "$1" = "lock from pip" ] || return 0
        NEED_GB=7
        if command -v nvidia-smi >/dev/null 2>&1; then
            say "NVIDIA found: installing PyTorch with CUDA (about 3 GB to download)."
        elif [ -e /dev/kfd ] || command -v rocminfo >/dev/null 2>&1; then
            say "An AMD GPU was found. The PyTorch that pip gives by itself is made for NVIDIA and will run on the processor here."
            say "For the GPU: break off with Ctrl+C and start with TORCH_INDEX_URL=<PyTorch's ROCm index, see the PyTorch install page> ./launch.sh"
            say "检测到 AMD 显卡。如需使用，请按 Ctrl+C，并将 TORCH_INDEX_URL 设为 PyTorch 的 ROCm 索引（见 PyTorch 安装页面）。"
        else
            say "No NVIDIA GPU was found. The PyTorch that pip gives by itself contains CUDA: about 3 GB to download, 7 GB on disk. It works here too."
            say "To have the small CPU build: break off with Ctrl+C and start with TORCH_INDEX_URL=<PyTorch's CPU index, see the PyTorch install page> ./launch.sh"
            say "or with wheel files of your own: NOISETTE_TORCH=\"/path/to/torch.whl /path/to/torchvision.whl\" ./launch.sh"
            say "未检测到 NVIDIA 显卡。默认的 PyTorch 含 CUDA（下载约 3 GB，占用 7 GB）。如需小得多的 CPU 版，请按 Ctrl+C，并将 TORCH_INDEX_URL 设为 PyTorch 的 CPU 索引。"
        fi
        ;;
    esac
}

free_gb() { df -Pk "$1" 2>/dev/null | awk 'NR == 2 { print int($4 / 1048576) }'; }

check_space() {
    local free used
    [ "${NOISETTE_SKIP_SPACE_CHECK:-0}" != 1 ] || return 0
    free=$(free_gb "$ROOT")
    [ -n "$free" ] || return 0
    used=0 # what an earlier, broken-off installation has there already
    if [ -d "$VENV" ]; then used=$(du -sk "$VENV" 2>/dev/null | awk '{ print int($1 / 1048576) }'); fi
    [ $((free + used)) -lt "$NEED_GB" ] || return 0
    stop "not enough disk space: $ROOT has ${free} GB free, the installation needs about ${NEED_GB} GB." \
        "Make room, or move Noisette to a larger disk. The CPU build of PyTorch needs 3 GB: see TORCH_INDEX_URL in launch.sh." \
        "To install all the same: NOISETTE_SKIP_SPACE_CHECK=1 ./launch.sh" \
        "磁盘空间不足：$ROOT 剩余 ${free} GB，安装约需 ${NEED_GB} GB。请清理空间或移到更大的磁盘；要强制安装请设 NOISETTE_SKIP_SPACE_CHECK=1。"
}

# ------------------------------------------------------------------------------------------------ installing

install_failed() { # install_failed WHAT: reads pip's log to say why
    local missing machine
    if grep -q "No space left on device" "$LOG" 2>/dev/null; then
        stop "the disk ran full while installing $1 ($(free_gb "$ROOT") GB are free in $ROOT)." \
            "Make room and start again: what is there already is kept. Full log: $LOG" \
            "安装 $1 时磁盘已满。请清理空间后重新启动，已完成的部分会保留。"
    elif grep -qE "NewConnectionError|ConnectTimeout|ReadTimeout|NameResolutionError|Temporary failure in name resolution|Network is unreachable|ProxyError|SSLError|connection error|Connection (refused|reset)|ConnectionResetError|IncompleteRead" "$LOG" 2>/dev/null; then
        stop "the package index could not be reached while installing $1." \
            "Check the connection and start again: what is there already is kept. Behind a proxy set PIP_PROXY=http://proxy:port." \
            "Without a network, copy the wheels of requirements/*.txt into a folder and set PIP_NO_INDEX=1 PIP_FIND_LINKS=/path/to/wheels." \
            "Full log: $LOG" \
            "安装 $1 时无法连接软件包索引。请检查网络后重试；代理请设 PIP_PROXY；离线请设 PIP_NO_INDEX=1 和 PIP_FIND_LINKS=<wheel 文件夹>。"
    elif grep -q "DO NOT MATCH THE HASHES" "$LOG" 2>/dev/null; then
        stop "a package of $1 is not the one that Noisette was made with (its checksum differs); it was not installed." \
            "A proxy or a broken download may be the cause. Run: .venv/bin/python -m pip cache purge   and start again. Full log: $LOG" \
            "$1 中有软件包校验和不符，未安装。可能是代理或下载损坏所致；请清除 pip 缓存后重试。"
    elif grep -qE "No matching distribution found|Could not find a version" "$LOG" 2>/dev/null; then
        missing=$(grep -oE 'No matching distribution found.*' "$LOG" | tail -n 1)
        machine="$(uname -sm), Python $(version_of "$PYTHON")"
        [ -z "${PIP_NO_INDEX:-}" ] || stop "a wheel is missing while installing $1 without a network (PIP_NO_INDEX is set): $missing" \
            "Put it into the folder that PIP_FIND_LINKS names (now: ${PIP_FIND_LINKS:-none}), made for $machine, and start again. Full log: $LOG" \
            "离线安装 $1 时缺少 wheel 文件。请将其放入 PIP_FIND_LINKS 指定的文件夹后重新启动。"
        stop "the package index has no build for this machine ($machine) of a package of $1: $missing" \
            "Another Python may help: NOISETTE_PYTHON=python3.12 ./launch.sh   For torch, another index or wheel: TORCH_INDEX_URL, NOISETTE_TORCH." \
            "Full log: $LOG" \
            "软件包索引中没有适合本机（$machine）的版本（$1）。可换一个 Python 版本；PyTorch 可用 TORCH_INDEX_URL 或 NOISETTE_TORCH 指定来源。"
    fi
    stop "pip could not install $1. Its messages stand above; the full log is $LOG" \
        "Start again to go on where it stopped; rm -rf .venv starts from nothing." \
        "pip 安装 $1 失败，详见上方信息和日志。重新启动会继续安装；删除 .venv 可从头开始。"
}

pip_install() { # pip_install WHAT ARGUMENTS ...
    local what=$1
    shift
    say "Installing $what ..."
    : >"$LOG"
    [ -t 2 ] || set -- --quiet --progress-bar off "$@" # a log file is no place for progress bars
    "$PYTHON" -m pip install --disable-pip-version-check --no-input --log "$LOG" "$@" </dev/null >&2 || install_failed "$what"
}

make_environment() {
    if [ -e "$VENV" ] && [ ! -f "$VENV/pyvenv.cfg" ] && [ -n "$(ls -A "$VENV" 2>/dev/null)" ]; then
        stop "$VENV is there, but it is no Python environment." \
            "Move it away and start again. 请移走 $VENV 后重新启动。"
    fi
    # Used again when its Python still runs, is one of ours and is the one that is asked for.
    if [ -x "$PYTHON" ] && supported "$(version_of "$PYTHON" || true)" &&
        "$PYTHON" -m pip --version >/dev/null 2>&1 </dev/null &&
        [ "$(base_choice)" = "$(cat "$BASE_FILE" 2>/dev/null || true)" ]; then
        return
    fi
    find_python
    say "Making the Python environment in $VENV ..."
    if ! "$BASE" -m venv --clear "$VENV" >&2 </dev/null; then
        stop "$BASE could not make the environment in $VENV; its messages stand above." \
            "On Debian and Ubuntu python3-venv may be missing: sudo apt install python$(version_of "$BASE")-venv" \
            "无法创建虚拟环境，详见上方信息。Debian/Ubuntu 可能缺少 python3-venv。"
    fi
    printf '%s\n' "$BASE" >"$BASE_FILE"
}

# A torch that was taken from elsewhere must go first: pip takes any build of the right version for the right build.
remove_other_torch() { # remove_other_torch CHOICE
    [ "$(cat "$TORCH_FILE" 2>/dev/null || printf '%s' "$1")" != "$1" ] || return 0
    say "Another build of PyTorch is asked for; removing the present one ..."
    "$PYTHON" -m pip list --format=freeze 2>/dev/null | sed -nE 's/^((torch|torchvision|triton|nvidia-[^=]*|cuda-[^=]*)) *[=@].*/\1/p' |
        while read -r name; do
            "$PYTHON" -m pip uninstall --quiet --yes "$name" >&2 </dev/null
        done
}

install_torch() { # install_torch CHOICE: "WORDS from INDEX"
    local words=${1% from *} index=${1##* from } list=()
    while IFS= read -r word; do list+=("$word"); done < <(
        if [ "$words" = lock ]; then
            printf '%s\n' -r "$ROOT/requirements/torch.txt"
        else
            printf '%s\n' "$words" | xargs -n 1 printf '%s\n' # splits at spaces, minds quotes
        fi
    )
    if [ "$index" != pip ]; then list+=(--index-url "$index"); fi
    pip_install "PyTorch" "${list[@]}"
}

# `noisette` inside the environment: the same as ./launch.sh, without its checks. It finds its place by itself, so that
# the folder may be moved.
write_command() {
    cat >"$VENV/bin/noisette.part" <<'COMMAND'
#!/bin/sh
bin=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0")")" && pwd) || exit 1
exec "$bin/python" "$bin/../../webui.py" "$@"
COMMAND
    chmod +x "$VENV/bin/noisette.part"
    mv "$VENV/bin/noisette.part" "$VENV/bin/noisette"
}

# pip unpacks PyTorch in the temporary folder first; where that is small (a RAM disk, often) use this disk.
roomy_temporary_folder() {
    local free
    free=$(free_gb "${TMPDIR:-/tmp}")
    if [ -n "$free" ] && [ "$free" -lt 4 ]; then
        mkdir -p "$VENV/tmp"
        export TMPDIR=$VENV/tmp
    fi
}

install() {
    local choice
    choice=$(torch_choice)
    consider_torch "$choice"
    check_space
    rm -f "$STAMP" # from here on the environment is unfinished
    make_environment
    roomy_temporary_folder
    remove_other_torch "$choice"
    printf '%s' "$choice" >"$TORCH_FILE"
    # The lock is complete, hence --no-deps: pip takes exactly these files or stops.
    pip_install "requirements/lock.txt" --no-deps --require-hashes -r "$ROOT/requirements/lock.txt"
    install_torch "$choice"
    write_command
    rm -rf "$VENV/tmp"
    expected_stamp "$choice" >"$STAMP.part"
    mv "$STAMP.part" "$STAMP" # the last act
    say "Everything is installed. 安装完成。"
}

install_for_tests() {
    pip_install "requirements/test.txt" --no-deps --require-hashes -r "$ROOT/requirements/test.txt"
    expected_test_stamp >"$TEST_STAMP.part"
    mv "$TEST_STAMP.part" "$TEST_STAMP"
}

# ------------------------------------------------------------------------------------------------ the start

# Settings that would lead this Python or its pip to other packages than those of the environment.
unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV

testing=""
if [ "${1:-}" = test ]; then
    testing=yes
    shift
fi

if ! ready || { [ -n "$testing" ] && ! ready_for_tests; }; then
    take_lock
    ready || install # another start may have done it while we waited
    if [ -n "$testing" ] && ! ready_for_tests; then install_for_tests; fi
    release_lock
    trap - EXIT INT TERM HUP
fi

if [ -n "$testing" ]; then
    cd "$ROOT"
    # Those that drive a browser take as long again and want the machine to themselves: `./launch.sh test -m browser -n 0`.
    [ $# -gt 0 ] || set -- -m "not browser"
    exec "$PYTHON" -m pytest "$@"
fi
exec "$PYTHON" "$ROOT/webui.py" "$@"
