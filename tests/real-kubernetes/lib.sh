# Shared by the scripts of this folder and those that call them: names, paths and small helpers. Sourced, never run.
# shellcheck shell=bash
# shellcheck disable=SC2034  # the constants are used by the scripts that source this file

REAL_KUBERNETES_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DEFAULT_VERSION=1.36.3
DEFAULT_DIR=${CHAOS_K8S_DIR:-/run/chaos-toolkit-k8s}
PROGRAMS=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)
# What postgres/image makes of the server that is installed, in place of the public image.
POSTGRES_IMAGE=chaos-toolkit.local/postgres:debian
# The folder of a cluster holds a file of this name, and no folder without it is ever touched.
MARKER=chaos-toolkit-cluster
# Kernel parameters of this whole machine as they were before its first cluster, for as long as there is one.
SYSCTLS=/run/chaos-toolkit-k8s.sysctl

say() { printf '%s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

need_root() { ((EUID == 0)) || die "this needs root: it makes network namespaces, mounts and cgroups (hint: sudo $0)"; }

# need PROGRAM...: fails with a hint if one of them is not installed.
need() {
  local program missing=()
  for program in "$@"; do
    command -v "$program" >/dev/null || missing+=("$program")
  done
  ((${#missing[@]} == 0)) || die "missing: ${missing[*]} (hint: $REAL_KUBERNETES_DIR/install-packages)"
}

# lock DIR: a script that makes a cluster and takes it away again has the folder alone, until it has ended and what it waits for has; the
# cluster itself does not hold the lock. It lies beside the folder, which comes and goes, and stays there: who removed it would let in a
# second one beside a first that still has it open.
lock() {
  need flock
  exec 8>"${1%/}.lock" || die "failed to lock $1"
  flock --nonblock 8 || die "another script uses $1, or what is left of one (hint: wait until it has ended; fuser ${1%/}.lock finds it)"
}

# await SECONDS WHAT COMMAND...: repeats the command until it succeeds; dies, saying what was awaited, when the time is over.
await() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || die "gave up waiting for $what"
    sleep 0.1
  done
}

# module_of VERSION: the folder with the go.mod of that version.
module_of() {
  local module=$REAL_KUBERNETES_DIR/versions/$1
  [[ -e $module/go.sum ]] || die "no version $1 (hint: one of $(cd "$REAL_KUBERNETES_DIR/versions" && echo [0-9]*))"
  echo "$module"
}

# binaries_of VERSION: where the programs of that version are built, keyed by what decides their content.
binaries_of() {
  local module key
  module=$(module_of "$1")
  key=$(cat "$module/go.mod" "$module/go.sum" "$REAL_KUBERNETES_DIR/pause.c" | sha256sum | cut -c1-12)
  echo "${XDG_CACHE_HOME:-$HOME/.cache}/chaos-toolkit/kubernetes-$1-$key"
}

# version_of DIR: the version of the cluster there.
version_of() { sed -n 's/version=\([^ ]*\) .*/\1/p' "$1/$MARKER"; }

# kubectl_of DIR: the kubectl of that version.
kubectl_of() { echo "$(binaries_of "$(version_of "$1")")/kubectl"; }

# uplink_of NETWORK: this machine's interface on the network of a cluster.
uplink_of() { echo "k8s-${1/./-}"; }

# A "machine" is a process in network, mount, process and host name namespaces of its own. Everything of the cluster runs in
# one: when its first process ends, the kernel ends all others and takes mounts, interfaces and iptables rules away.

# machines_of DIR: lines "PID NAME" of the cluster's live machines, found by their command line and not by a file, so that a
# stale file can never name a stranger's process.
machines_of() {
  local proc argv
  for proc in /proc/[0-9]*; do
    mapfile -d '' argv 2>/dev/null <"$proc/cmdline" || continue
    [[ ${argv[0]:-} == */pause && ${argv[1]:-} == "$1" ]] && echo "${proc#/proc/} ${argv[2]}"
  done
  return 0
}

# pid_of DIR MACHINE: process id of the first process of a machine, empty if there is none.
pid_of() { machines_of "$1" | awk -v name="$2" '$2 == name { print $1 }'; }

# in_machine DIR MACHINE COMMAND...: runs a command there.
in_machine() {
  local pid
  pid=$(pid_of "$1" "$2")
  [[ -n $pid ]] || die "no machine $2 in $1"
  nsenter --target "$pid" --mount --uts --net --pid -- "${@:3}"
}

# is_running DIR MACHINE NAME: whether the program that `start` noted still runs, and is not a stranger with its process id.
is_running() {
  local file=$1/pids/$2/$3 machine
  machine=$(pid_of "$1" "$2")
  [[ -e $file && -n $machine && $(readlink "/proc/$(<"$file")/ns/pid") == "$(readlink "/proc/$machine/ns/pid")" ]]
}

# kernel_parameters: what a kubelet changes of the whole machine, as it is set.
kernel_parameters() {
  sysctl kernel.panic kernel.panic_on_oops kernel.keys.root_maxbytes kernel.keys.root_maxkeys vm.overcommit_memory vm.panic_on_oom
}

# any_nodes: whether there is a node of any cluster.
any_nodes() { [[ -n $(compgen -G '/sys/fs/cgroup/*/chaos-toolkit-k8s') ]]; }

# save_sysctls DIR: notes the kernel parameters. A cluster beside others takes over what the first of them has
# noted: what is set by now is not the machine's own any more.
save_sysctls() {
  [[ ! -e $1/sysctl.conf ]] || return 0
  if [[ ! -e $SYSCTLS ]]; then
    kernel_parameters >"$SYSCTLS.$$"
    mv "$SYSCTLS.$$" "$SYSCTLS"
  fi
  cp "$SYSCTLS" "$1/sysctl.conf"
}

# restore_sysctls DIR: sets it back when no node of any cluster is left, in whatever order they go.
restore_sysctls() {
  [[ -e $1/sysctl.conf ]] || return 0
  ! any_nodes || return 0
  sysctl -qp "$1/sysctl.conf"
  rm -f "$SYSCTLS"
}

# stack_of OVERLAY RIDES: the manifests of the dispatch stack, with so many rides a second, and an image of the database server that these
# nodes have.
stack_of() {
  sed "/name: RIDES_PER_SECOND/{n;s/value: .*/value: '$2'/}; s#image: postgres:.*#image: $POSTGRES_IMAGE#" \
    "$REAL_KUBERNETES_DIR/../../examples/dispatch-stack/deploy/$1.yaml"
}

# type_in COMMAND: prints a command as somebody types it, runs it, and prints what it says: a transcript.
type_in() {
  local code=0
  printf '$ %s\n' "$1"
  bash -c "$1" </dev/null 2>&1 || code=$?
  printf '(exit code %d)\n\n' "$code"
  return "$code"
}
