# Credentials, the machine "control-plane" and the processes in it. Sourced by `up`, which sets dir, bin, network and nodes.
# shellcheck shell=bash
# shellcheck disable=SC2154

host_address() { echo "$network.0.1"; }
control_plane_address() { echo "$network.0.2"; }
node_address() { echo "$network.0.$((10 + $1))"; }
pod_range() { echo "$network.$((128 + $1)).0/24"; }
all_pods() { echo "$network.128.0/17"; }
all_services() { echo "$network.64.0/18"; }
server_url() { echo "https://$(control_plane_address):6443"; }

kubectl_admin() { "$bin/kubectl" --kubeconfig "$dir/kubeconfig" --request-timeout=5s "$@"; }

# start_machine NAME: a process in namespaces of its own, loopback up. It outlives who starts it, whose lock (see lib.sh) is not its own.
start_machine() {
  [[ -z $(pid_of "$dir" "$1") ]] || return 0
  setsid --fork unshare --net --pid --mount --uts --fork --kill-child --mount-proc --propagation private \
    "$bin/pause" "$dir" "$1" </dev/null >/dev/null 2>&1 8>&-
  await 5 "machine $1" test_machine "$1"
  in_machine "$dir" "$1" sh -c "hostname $1 && ip link set lo up && sysctl -qw net.ipv4.ip_forward=1"
}
test_machine() { [[ -n $(pid_of "$dir" "$1") ]]; }

# start MACHINE NAME COMMAND...: a daemon in a machine, unless it runs; its log is logs/MACHINE-NAME.log, its process id pids/MACHINE/NAME.
start() {
  local log=$dir/logs/$1-$2.log file=$dir/pids/$1/$2 machine parent
  ! is_running "$dir" "$1" "$2" || return 0
  machine=$(pid_of "$dir" "$1")
  mkdir -p "$dir/pids/$1"
  setsid nsenter --target "$machine" --mount --uts --net --pid -- "${@:3}" </dev/null >>"$log" 2>&1 8>&- &
  parent=$!
  await 5 "$2 on $1 to start" pgrep --parent "$parent"
  pgrep --parent "$parent" >"$file" || die "$2 on $1 ended at once (see $log)"
}

# sign NAME SUBJECT EXTENSION: a key and a certificate of the cluster's authority, valid for a week.
sign() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$dir/pki/$1.key" -subj "$2" -out "$dir/pki/$1.csr" 2>/dev/null
  openssl x509 -req -in "$dir/pki/$1.csr" -CA "$dir/pki/ca.crt" -CAkey "$dir/pki/ca.key" -CAcreateserial -days 7 \
    -extfile <(echo "$3") -out "$dir/pki/$1.crt" 2>/dev/null
}

# kubeconfig TOKEN: a kubeconfig for the bearer of that token.
kubeconfig() {
  cat <<YAML
apiVersion: v1
kind: Config
clusters:
- name: chaos-toolkit
  cluster:
    server: $(server_url)
    certificate-authority-data: $(base64 -w0 "$dir/pki/ca.crt")
users:
- name: user
  user: {token: $1}
contexts:
- name: chaos-toolkit
  context: {cluster: chaos-toolkit, user: user}
current-context: chaos-toolkit
YAML
}

# add_user FILE NAME GROUPS: a user with a random token, and the kubeconfig that carries it.
add_user() {
  local token
  token=$(openssl rand -hex 16)
  echo "$token,$2,$2,\"$3\"" >>"$dir/pki/tokens.csv"
  kubeconfig "$token" >"$1"
}

# In a subshell, so that the daemons do not inherit its strict umask.
create_credentials() (
  [[ ! -e $dir/kubeconfig ]] || return 0
  local index
  umask 077
  mkdir -p "$dir/pki" "$dir/kubeconfigs"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 7 -subj "/CN=chaos-toolkit-ca" \
    -keyout "$dir/pki/ca.key" -out "$dir/pki/ca.crt" 2>/dev/null
  sign apiserver "/CN=kube-apiserver" \
    "subjectAltName=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:$(control_plane_address),IP:$network.64.1"
  sign kubelet-client "/O=system:masters/CN=kube-apiserver-kubelet-client" "extendedKeyUsage=clientAuth"
  openssl genrsa -out "$dir/pki/service-account.key" 2048 2>/dev/null
  openssl rsa -in "$dir/pki/service-account.key" -pubout -out "$dir/pki/service-account.pub" 2>/dev/null
  rm -f "$dir/pki/tokens.csv"
  add_user "$dir/kubeconfigs/controller-manager" system:kube-controller-manager ""
  add_user "$dir/kubeconfigs/scheduler" system:kube-scheduler ""
  add_user "$dir/kubeconfigs/proxy" system:kube-proxy ""
  add_user "$dir/kubeconfigs/dns" system:coredns ""
  for ((index = 1; index <= nodes; index++)); do add_user "$dir/kubeconfigs/node$index" "system:node:node$index" system:nodes; done
  add_user "$dir/kubeconfig" admin system:masters
)

# One network for all machines: a bridge in the control plane's namespace, with this machine as a guest on it.
connect_control_plane() {
  local uplink
  uplink=$(uplink_of "$network")
  ! ip link show "$uplink" >/dev/null 2>&1 || return 0
  in_machine "$dir" control-plane sh -c "ip link add br0 type bridge && ip addr add $(control_plane_address)/24 dev br0 && ip link set br0 up
    if [ -e /proc/sys/net/bridge ]; then sysctl -qw net.bridge.bridge-nf-call-iptables=0; fi"
  ip link add "$uplink" type veth peer name uplink netns "$(pid_of "$dir" control-plane)"
  in_machine "$dir" control-plane ip link set uplink master br0 up
  ip addr add "$(host_address)/24" dev "$uplink"
  ip link set "$uplink" up
}

# Requests that change something are logged with their body, so that a test can read the preconditions of a deletion.
audit_policy() {
  cat <<'YAML'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  resources: [{group: "", resources: [secrets, serviceaccounts/token]}, {group: authentication.k8s.io}]
- level: Request
  verbs: [create, update, patch, delete, deletecollection]
- level: Metadata
YAML
}

start_control_plane() {
  # What plays nodes for ten thousand pods may be late with a heartbeat, and would not make pods Ready again that were given up for it.
  local grace=20s
  ((nodes > 0)) || grace=10m
  start_machine control-plane
  connect_control_plane
  audit_policy >"$dir/audit-policy.yaml"
  start control-plane etcd "$bin/etcd" --data-dir "$dir/etcd" --listen-client-urls http://127.0.0.1:2379 \
    --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 \
    --initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster default=http://127.0.0.1:2380
  start_apiserver
  await 60 "the API server (see $dir/logs/control-plane-apiserver.log)" kubectl_admin get --raw /readyz
  start control-plane controller-manager "$bin/kube-controller-manager" --kubeconfig "$dir/kubeconfigs/controller-manager" \
    --use-service-account-credentials --root-ca-file "$dir/pki/ca.crt" \
    --service-account-private-key-file "$dir/pki/service-account.key" \
    --cluster-signing-cert-file "$dir/pki/ca.crt" --cluster-signing-key-file "$dir/pki/ca.key" \
    --leader-elect=false --kube-api-qps=1000 --kube-api-burst=1000 --concurrent-namespace-syncs=50 --node-monitor-grace-period="$grace"
  start control-plane scheduler "$bin/kube-scheduler" --kubeconfig "$dir/kubeconfigs/scheduler" --leader-elect=false \
    --kube-api-qps=1000 --kube-api-burst=1000
}

start_apiserver() {
  start control-plane apiserver "$bin/kube-apiserver" --etcd-servers http://127.0.0.1:2379 \
    --bind-address 0.0.0.0 --secure-port 6443 --advertise-address "$(control_plane_address)" \
    --tls-cert-file "$dir/pki/apiserver.crt" --tls-private-key-file "$dir/pki/apiserver.key" \
    --client-ca-file "$dir/pki/ca.crt" --token-auth-file "$dir/pki/tokens.csv" \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$dir/pki/service-account.pub" \
    --service-account-signing-key-file "$dir/pki/service-account.key" --service-cluster-ip-range "$(all_services)" \
    --kubelet-client-certificate "$dir/pki/kubelet-client.crt" --kubelet-client-key "$dir/pki/kubelet-client.key" \
    --kubelet-preferred-address-types InternalIP \
    --audit-policy-file "$dir/audit-policy.yaml" --audit-log-path "$dir/logs/audit.log" --audit-log-maxsize 500
}
