#!/usr/bin/env bash
# Install the packages of SLURM on Debian or Ubuntu. No daemon is started by it: start.sh does that, with files of its own.
set -euo pipefail
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install --yes --no-install-recommends slurmctld slurmd slurm-client munge >&2
