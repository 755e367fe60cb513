#!/usr/bin/env bash
# Install hsipipe and its exact requirements into the environment that conda has just made.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python -m pip install uv
python -m uv pip install --compile-bytecode -r "${HSIPIPE_ROOT:-$root}/requirements.lock"
python -m uv pip install --compile-bytecode --no-deps "${HSIPIPE_ROOT:-$root}"
