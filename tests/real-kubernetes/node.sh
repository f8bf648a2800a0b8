# A node: a machine with containerd, kubelet and kube-proxy. Sourced by `up` after control-plane.sh.
# shellcheck shell=bash
# shellcheck disable=SC2154

zone_of() {
  local zones=(zone-a zone-b zone-c)
  echo "${zones[$1 - 1]}"
}

# cgroup_of NODE: the parent of all pods of a node, the same path in every cgroup v1 controller.
cgroup_of() { echo "/chaos-toolkit-k8s/$network/$1"; }

# prepare_node INDEX: machine, network, folders and containerd of a node.
prepare_node() {
  local name=node$1 home=$dir/nodes/node$1
  start_machine "$name"
  create_cgroup "$(cgroup_of "$name")"
  connect_node "$1"
  mkdir -p "$home/var-lib/kubelet" "$home/var-lib/cni/conf" "$home/var-log" "$home"/var-lib/volumes/{1,2,3,4}
  cp "$dir/kubeconfigs/$name" "$home/var-lib/kubelet/kubeconfig"
  cp "$dir/kubeconfigs/proxy" "$home/var-lib/kubelet/proxy-kubeconfig"
  cp "$dir/pki/ca.crt" "$home/var-lib/kubelet/ca.crt"
  containerd_config >"$home/var-lib/containerd.toml"
  kubelet_config "$name" >"$home/var-lib/kubelet/config.yaml"
  cni_config "$1" >"$home/var-lib/cni/conf/10-pods.conflist"
  # The usual paths, each node with its own: what is mounted here is seen by this node alone and ends with it.
  in_machine "$dir" "$name" sh -c "mountpoint -q /var/lib/kubelet || {
    mount --make-rshared / && mount --bind $home/var-log /var/log && mount --bind $home/var-lib /var/lib &&
    mount --bind /var/lib/kubelet /var/lib/kubelet && mount -t tmpfs -o mode=755 tmpfs /run; }"
  start "$name" containerd containerd --config /var/lib/containerd.toml
}

# start_node INDEX: the pause image, kubelet and kube-proxy. Nodes are prepared first, so that their containerds start together.
start_node() {
  local name=node$1
  await 30 "containerd on $name" in_machine "$dir" "$name" ctr version
  "$REAL_KUBERNETES_DIR/image" --name chaos-toolkit.local/pause:1 --output "$dir/pause.tar" --entrypoint /pause "$bin/pause"
  in_machine "$dir" "$name" ctr -n k8s.io image import - <"$dir/pause.tar" >/dev/null
  start "$name" kubelet "$bin/kubelet" --config /var/lib/kubelet/config.yaml --kubeconfig /var/lib/kubelet/kubeconfig \
    --cert-dir /var/lib/kubelet/pki --node-ip "$(node_address "$1")" --node-labels "topology.kubernetes.io/zone=$(zone_of "$1")"
  start "$name" proxy "$bin/kube-proxy" --kubeconfig /var/lib/kubelet/proxy-kubeconfig --proxy-mode iptables \
    --cluster-cidr "$(all_pods)" --conntrack-max-per-core 0 --conntrack-min 0 \
    --conntrack-tcp-timeout-established 0s --conntrack-tcp-timeout-close-wait 0s
}

# volumes INDEX: four local volumes of a node, in the cluster's only and default storage class. Nothing provisions more.
volumes() {
  local number
  if (($1 == 1)); then
    cat <<YAML
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: local, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
YAML
  fi
  for number in 1 2 3 4; do
    cat <<YAML
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: node$1-$number}
spec:
  storageClassName: local
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  local: {path: /var/lib/volumes/$number}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node$1]}]}]}}
YAML
  done
}

need_cgroup_v1() {
  [[ -d /sys/fs/cgroup/memory ]] || die "nodes need cgroup v1 (hint: where a container engine runs, use kind and CHAOS_TEST_KUBECONFIG)"
}

create_cgroup() {
  local controller name
  for controller in /sys/fs/cgroup/*/; do
    [[ -e $controller/cgroup.procs && ! -e $controller/cgroup.controllers ]] || continue
    mkdir -p "$controller$1"
    # A new cpuset has no processors and no memory, and takes no process before it has both; parents first.
    if [[ -e $controller/cpuset.cpus ]]; then
      for name in chaos-toolkit-k8s "chaos-toolkit-k8s/$network" "$1"; do
        cat "$controller/cpuset.cpus" >"$controller/$name/cpuset.cpus"
        cat "$controller/cpuset.mems" >"$controller/$name/cpuset.mems"
      done
    fi
    [[ ! -e $controller/cpu.shares ]] || weigh_pods "$controller" "$1"
  done
}

# weigh_pods CONTROLLER CGROUP: as a kubelet weighs all pods of a machine of its own, 1024 for each processor, beside what else runs there.
# A new cgroup has 1024 altogether: as much as one session, and every program of the cluster is one, so that pods (the prober is one)
# would be late whenever some of these are busy with a container that starts.
weigh_pods() {
  local name
  for name in chaos-toolkit-k8s "chaos-toolkit-k8s/$network" "$2"; do
    echo "$((1024 * $(nproc)))" >"$1/$name/cpu.shares"
  done
}

# connect_node INDEX: a cable from the node to the control plane's bridge.
connect_node() {
  local name=node$1
  ! in_machine "$dir" "$name" ip link show eth0 >/dev/null 2>&1 || return 0
  ip link add "$name" netns "$(pid_of "$dir" control-plane)" type veth peer name eth0 netns "$(pid_of "$dir" "$name")"
  in_machine "$dir" control-plane ip link set "$name" master br0 up
  in_machine "$dir" "$name" sh -c "ip addr add $(node_address "$1")/24 dev eth0 && ip link set eth0 up && ip route add default via $(host_address)"
}

# route_pods: tells every machine, and this one, behind which node a pod address lies. Service addresses lead this machine to node 1.
route_pods() {
  local from to
  for ((to = 1; to <= nodes; to++)); do
    ip route replace "$(pod_range "$to")" via "$(node_address "$to")"
    in_machine "$dir" control-plane ip route replace "$(pod_range "$to")" via "$(node_address "$to")"
    for ((from = 1; from <= nodes; from++)); do
      ((from == to)) || in_machine "$dir" "node$from" ip route replace "$(pod_range "$to")" via "$(node_address "$to")"
    done
  done
  ((nodes == 0)) || ip route replace "$(all_services)" via "$(node_address 1)"
}

containerd_config() {
  cat <<'TOML'
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "chaos-toolkit.local/pause:1"
  # Where the machine may not lower an oom score, every sandbox would die without this.
  restrict_oom_score_adj = true
  stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "/var/lib/cni/conf"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false
TOML
}

# A route to each pod rather than a bridge: all traffic then passes the node's iptables, whatever the kernel does with bridged packets.
cni_config() {
  cat <<JSON
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "ptp", "mtu": 1500, "ipMasq": false,
   "ipam": {"type": "host-local", "dataDir": "/run/cni-addresses", "ranges": [[{"subnet": "$(pod_range "$1")"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
}

# kubelet_config NODE
kubelet_config() {
  cat <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: /var/lib/kubelet/ca.crt}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
clusterDNS: [$(control_plane_address)]
clusterDomain: $CLUSTER_DOMAIN
cgroupDriver: cgroupfs
cgroupRoot: $(cgroup_of "$1")
enforceNodeAllocatable: [pods]
failCgroupV1: false
failSwapOn: false
# The disk of this machine is not the cluster's to judge.
evictionHard: {memory.available: 100Mi}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
healthzPort: 0
nodeStatusUpdateFrequency: 4s
resolvConf: ""
YAML
}
