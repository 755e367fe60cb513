#!/usr/bin/env bash
# Start a SLURM of one node on this machine, for tests: start.sh [FOLDER] [--cpus N] [--memory MB] [--gpus N]
#
# Everything that it writes is in FOLDER: configuration, keys, sockets, state, logs, process numbers; but for a link to
# the configuration at /etc/slurm/slurm.conf, where sbatch, srun and squeue look for it. If there is a file, this machine
# has a SLURM of its own, and nothing is started. All talk is on the loopback interface. There are two partitions, `cpu`
# and `gpu`; the GPUs are null devices, so SLURM hands them out and nothing can be computed on them. stop.sh ends it all.
#
# With --node the node daemon alone is started again, in a SLURM that runs.
set -euo pipefail

folder=/run/hsipipe-slurm
link=/etc/slurm/slurm.conf
cpus=$(nproc)
memory=$(($(awk '/^MemTotal/ {print $2}' /proc/meminfo) / 1024 - 1024))
gpus=2
node_only=
while (($#)); do
    case $1 in
    --cpus) cpus=$2; shift ;;
    --memory) memory=$2; shift ;;
    --gpus) gpus=$2; shift ;;
    --node) node_only=1 ;;
    -*) sed -n '2,10s/^# \?//p' "$0" >&2; exit 2 ;;
    *) folder=$1 ;;
    esac
    shift
done

fail() {
    echo "error: $*" >&2
    exit 2
}

# Whether the process of a file of this folder lives and is what its name says.
runs() {
    local number
    number=$(cat "$folder/$1.pid" 2>/dev/null) && [[ $(cat "/proc/$number/comm" 2>/dev/null) == "$1" ]]
}

# Try a command ten times a second until it works, for so many seconds.
until_works() {
    local tries=$(($1 * 10))
    shift
    until "$@" >/dev/null 2>&1; do
        ((tries-- > 0)) || return 1
        sleep 0.1
    done
}

node_is_up() { [[ $(sinfo --noheader --partition gpu --format %t) =~ ^(idle|mix|alloc) ]]; }

start_node() {
    "$slurmd" -f "$folder/slurm.conf" -N node
    # A node whose daemon was killed comes back as soon as it has registered.
    until_works 30 node_is_up || { tail -n 20 "$folder"/slurmd.log >&2; fail "the node does not come up"; }
}

unset SLURM_CONF # the programs within jobs would not see it
export PATH=$PATH:/usr/sbin:/sbin
missing=
for program in slurmctld slurmd sbatch munged; do
    command -v "$program" >/dev/null || missing+=" $program"
done
[[ -z $missing ]] || fail "SLURM is not installed:$missing; apt-get install slurmctld slurmd slurm-client munge"
((EUID == 0)) || fail "a SLURM for tests needs root (it makes device files and switches users)"
slurmd=$(command -v slurmd)

if [[ $node_only ]]; then
    runs slurmctld || fail "no SLURM runs in $folder"
    runs slurmd || start_node
    exit 0
fi
if runs slurmctld || runs slurmd; then
    fail "a SLURM runs in $folder already; $(dirname "$0")/stop.sh $folder ends it"
fi
if [[ -e $folder && ! -e $folder/made-by-hsipipe ]]; then
    fail "$folder is there and was not made by this script"
fi
if [[ (-e $link || -L $link) && $(readlink "$link") != "$folder/slurm.conf" ]]; then
    fail "$link is there and was not made by this script"
fi

rm -rf "$folder"
mkdir -p "$folder"/{devices,state,spool}
touch "$folder/made-by-hsipipe"
install -d -m 700 "$folder/munge"
head -c 128 /dev/urandom >"$folder/munge/key"
chmod 600 "$folder/munge/key"
devices=
for ((index = 0; index < gpus; index++)); do
    mknod -m 666 "$folder/devices/gpu$index" c 1 3
done
((gpus == 0)) || devices="NodeName=node Name=gpu Type=fake File=$folder/devices/gpu[0-$((gpus - 1))]"

# Two free ports, so that a SLURM of the machine's own keeps the usual ones.
read -r controller_port node_port < <(python3 - <<'PYTHON'
import socket

sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(each.getsockname()[1] for each in sockets))
PYTHON
)
host=$(hostname -s)
cat >"$folder/slurm.conf" <<CONF
ClusterName=hsipipe$controller_port
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller_port
SlurmdPort=$node_port
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmdParameters=config_overrides
ReturnToService=2
# A node that does not answer for half a minute is down, and its jobs have failed.
SlurmdTimeout=30
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# Memory is looked at each second; a job above its limit is ended.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
KillWait=5
MinJobAge=86400
GresTypes=gpu
NodeName=node NodeHostname=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory ${devices:+Gres=gpu:fake:$gpus} State=UNKNOWN
PartitionName=cpu Nodes=node Default=YES MaxTime=3-00:00:00 State=UP
PartitionName=gpu Nodes=node MaxTime=3-00:00:00 State=UP
CONF
echo "$devices" >"$folder/gres.conf"
mkdir -p "$(dirname "$link")"
ln -sf "$folder/slurm.conf" "$link"

munged --force --key-file="$folder/munge/key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" 2>"$folder/munged.log"
until_works 10 munge --socket="$folder/munge.socket" --no-input || { cat "$folder/munged.log" >&2; fail "munged does not answer"; }
slurmctld -f "$folder/slurm.conf"
until_works 20 scontrol ping || { tail -n 20 "$folder/slurmctld.log" >&2; fail "slurmctld does not answer"; }
start_node
echo "SLURM runs in $folder: partitions cpu and gpu, $cpus CPUs, $memory MB, $gpus GPUs that are none"
