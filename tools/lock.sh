#!/usr/bin/env bash
# Makes requirements/*.txt again from pyproject.toml.
#
#   tools/lock.sh                     keep the pinned versions that still fit, add what is missing
#   tools/lock.sh --upgrade           take the newest versions that fit
#   tools/lock.sh --upgrade-package X take the newest X
#
# The files have pip-compile's format. They hold for Python 3.11 to 3.13 on Linux, macOS and Windows: what only one of
# them needs carries a marker. uv resolves them, because pip-compile knows only the Python and the system it runs on.
set -euo pipefail
cd "$(dirname "$0")/.."

uv=.venv/bin/uv
[ -x "$uv" ] || uv=$(command -v uv) || {
    echo "uv was not found. Install the developer tools: .venv/bin/python -m pip install -r requirements/dev.txt" >&2
    exit 1
}

# Which build of torch is right depends on the machine, so launch.sh installs requirements/torch.txt by itself, and
# what belongs to one build of torch stays out of the other files.
torch=requirements/torch.txt

compile() { # compile OUTPUT [arguments ...]
    local output=$1
    shift
    "$uv" pip compile pyproject.toml --quiet --universal --python-version 3.11 --fork-strategy fewest \
        --generate-hashes --strip-extras --no-header --no-emit-index-url --no-emit-find-links \
        --no-emit-package torch --no-emit-package torchvision --no-emit-package triton \
        --constraint "$torch" --output-file "$output" "$@"
}

# Leaves out: what a CUDA build of torch drags in (that is torch's affair), what only a browser's Python needs, and what
# stands in the files named after FILE already, so that test.txt and dev.txt list just what they add.
trim() { # trim FILE [FILE ...]
    awk '
        FNR == 1 { file++ }
        /^[a-z0-9]/ { split($0, word, "=="); name = word[1] }
        file < files { if (name != "") known[name] = 1; next }
        /^[a-z0-9]/ { skip = (name in known) || name ~ /^(nvidia-|cuda-)/ || /sys_platform == .emscripten./ }
        !skip
    ' files=$# "${@:2}" "$1" >"$1.part"
    mv "$1.part" "$1"
}

compile requirements/lock.txt "$@"
trim requirements/lock.txt
for extra in test dev; do
    compile "requirements/$extra.txt" --extra "$extra" --constraint requirements/lock.txt "$@"
    trim "requirements/$extra.txt" requirements/lock.txt
done
