#!/usr/bin/env bash
# Install hsipipe and its exact requirements into the environment that conda has just made. Snakemake runs a copy of this
# file; the workflow says in HSIPIPE_ROOT where the checkout is.
set -euo pipefail
root="${HSIPIPE_ROOT:?is not set: run this by snakemake, or set it to a checkout of hsipipe}"
if [ ! -f "$root/pyproject.toml" ]; then
    echo "error: $root is no checkout of hsipipe; set HSIPIPE_ROOT to one, or run without conda" >&2
    exit 2
fi
python -m pip install "$(grep -E '^uv==' "$root/requirements.lock")"
python -m uv pip install --compile-bytecode -r "$root/requirements.lock"
python -m uv pip install --compile-bytecode --no-deps "$root"
