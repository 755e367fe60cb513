#!/usr/bin/env bash
# End the SLURM that start.sh started in FOLDER, and nothing else: stop.sh [FOLDER]
#
# Jobs are cancelled first: they would go on without their daemon. A process is ended only if FOLDER names its number
# and it still is what its file says. The folder is removed, if start.sh made it.
set -uo pipefail
folder=${1:-/run/hsipipe-slurm}
link=/etc/slurm/slurm.conf
unset SLURM_CONF
[[ -e $folder/made-by-hsipipe ]] || { echo "nothing of start.sh is in $folder"; exit 0; }

# The number of a daemon of this folder, if it lives.
number_of() {
    local number
    number=$(cat "$folder/$1.pid" 2>/dev/null) && [[ $(cat "/proc/$number/comm" 2>/dev/null) == "$1" ]] && echo "$number"
}

if number_of slurmctld >/dev/null; then
    scancel --state=PENDING --user=root
    scancel --user=root
    for ((tries = 100; tries > 0; tries--)); do
        [[ $(squeue --noheader 2>/dev/null) ]] || break
        sleep 0.2
    done
fi
for daemon in slurmd slurmctld munged; do
    number=$(number_of "$daemon") || continue
    kill "$number"
    for ((tries = 100; tries > 0; tries--)); do
        [[ -d /proc/$number ]] || break
        sleep 0.1
    done
    [[ -d /proc/$number ]] && kill -KILL "$number"
done
# What its jobs left running, told by the name of this SLURM in their environment: a Snakemake that was asked to end waits.
cluster=$(sed -n 's/^ClusterName=//p' "$folder/slurm.conf" 2>/dev/null)
for environment in /proc/[0-9]*/environ; do
    number=${environment//[!0-9]/}
    [[ $cluster ]] && grep -qsz "^SLURM_CLUSTER_NAME=$cluster\$" "$environment" && kill -KILL "$number" 2>/dev/null
done
[[ $(readlink "$link") == "$folder/slurm.conf" ]] && rm -f "$link"
rm -rf "$folder"
echo "SLURM of $folder ended"
