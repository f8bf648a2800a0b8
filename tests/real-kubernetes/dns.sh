# Names in the cluster: CoreDNS, a program of the machine "control-plane". Sourced by `up` after control-plane.sh; `dns` is its path.
# shellcheck shell=bash
# shellcheck disable=SC2154

CLUSTER_DOMAIN=cluster.local

# It reads where Services and their pods are, and may do nothing else.
dns_rights() {
  cat <<'YAML'
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: system:coredns}
rules:
- {apiGroups: [""], resources: [services, namespaces], verbs: [list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: system:coredns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:coredns}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: system:coredns}]
YAML
}

# Nobody else is asked, as this machine may have no network: a name outside of the cluster does not exist, and that is said at once.
corefile() {
  cat <<COREFILE
$CLUSTER_DOMAIN in-addr.arpa ip6.arpa {
  errors
  ready
  kubernetes {
    kubeconfig $dir/kubeconfigs/dns
  }
}
. {
  template ANY ANY {
    rcode NXDOMAIN
  }
}
COREFILE
}

start_dns() {
  ! is_running "$dir" control-plane dns || return 0
  dns_rights | kubectl_admin apply -f - >/dev/null
  corefile >"$dir/Corefile"
  start control-plane dns "$dns" -conf "$dir/Corefile"
}

await_dns() { await 30 "DNS (see $dir/logs/control-plane-dns.log)" curl -fsS --max-time 5 "http://$(control_plane_address):8181/ready"; }
