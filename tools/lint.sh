#!/usr/bin/env bash
# Every check that needs no test run: style, format, types, shell scripts. Reads only; `tools/lint.sh fix` mends what
# can be mended by itself first. Installs requirements/dev.txt into .venv where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin

if [ ! -x "$bin/python" ]; then
    echo "There is no .venv yet. Start ./launch.sh once; it makes it." >&2
    exit 1
fi
want=$(cksum <requirements/dev.txt)
if [ "$(cat .venv/noisette-dev-stamp 2>/dev/null || true)" != "$want" ]; then
    "$bin/python" -m pip install --disable-pip-version-check --quiet --no-deps --require-hashes -r requirements/dev.txt
    printf '%s\n' "$want" >.venv/noisette-dev-stamp
fi

if [ "${1:-}" = fix ]; then
    "$bin/ruff" check --fix .
    "$bin/ruff" format .
fi

failed=0
check() { # check COMMAND ...: all checks run, so that one look shows everything
    echo "== $*"
    "$bin/$1" "${@:2}" || failed=1
}
check ruff check .
check ruff format --check .
check mypy
check bandit -q -c pyproject.toml -ll -r modules extensions
check shellcheck launch.sh .ci/run tools/*.sh
exit "$failed"
