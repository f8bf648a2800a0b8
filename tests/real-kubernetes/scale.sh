# The clusters beside which `scale` measures, and what is put on them. Sourced, never run, after lib.sh and control-plane.sh, by a script
# that sets dir, bin, kwok and pods. Each of the two clusters has its kubeconfig, logs/audit.log and pki/ca.crt in that folder.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # variables of the script that sources this file

# What marks a node that KWOK plays.
FAKE=chaos.dispatch.dev/fake

kubectl() { "$bin/kubectl" "$@"; }

# A control plane without nodes. KWOK lives on its machine, and ends with it. It renews the lease of a node every quarter of the time that it
# is told; by itself it renews none, and the nodes would be given up: here after ten minutes (see start_control_plane).
real_cluster() {
  "$REAL_KUBERNETES_DIR/up" --dir "$dir" --network "$network" --version "$version" --nodes 0 >/dev/null
}
kwok_of_real() { start control-plane kwok "$kwok" "$@" --node-lease-duration-seconds 1200; }

# chaos_here COMMAND...: the program, with its cluster in our folder.
chaos_here() { XDG_RUNTIME_DIR=$dir XDG_STATE_HOME=$dir "$program" "$@" 8>&-; }

# embedded_server: the process that holds the embedded cluster of our folder, empty if there is none. By its environment, and not by a file:
# it is found as well when it was not up yet.
embedded_server() {
  local proc argv
  for proc in /proc/[0-9]*; do
    mapfile -d '' argv 2>/dev/null <"$proc/cmdline" || continue
    [[ "${argv[*]:1:2}" == "cluster hold" ]] && grep -qzxF "XDG_RUNTIME_DIR=$dir" "$proc/environ" 2>/dev/null && echo "${proc#/proc/}"
  done
  return 0
}

# The embedded cluster. Its own nodes are processes of this machine: nothing may get there. As slow as can be to give a node up, which is
# 50 s: KWOK may be late with a heartbeat, and does not make pods Ready again that were given up for it.
embedded_cluster() {
  local run
  mkdir -m 700 "$dir"
  mkdir "$dir/logs" "$dir/pki"
  chaos_here cluster up --profile kubernetes-like >/dev/null
  server=$(embedded_server)
  run=$(dirname "$(chaos_here cluster status | sed -n 's/^up: .*KUBECONFIG=//p')")
  [[ -n $server && -e $run/kubeconfig ]] || die "the embedded cluster is not up"
  ln -s "$run/ca.crt" "$dir/pki/ca.crt"
  ln -s "$run/audit.jsonl" "$dir/logs/audit.log"
  address_of_embedded=$(sed -n 's/.*server: "\([^"]*\)".*/\1/p' "$run/kubeconfig")
  server_url() { echo "$address_of_embedded"; }
  (umask 077 && kubeconfig "$(sed -n 's/.*token: "\([^"]*\)".*/\1/p' "$run/kubeconfig")" >"$dir/kubeconfig")
  "$bin/kubectl" --kubeconfig "$dir/kubeconfig" cordon --selector "!$FAKE" >/dev/null
}
# Without a port for what asks a kubelet: on this machine it may be another's.
kwok_of_embedded() {
  "$kwok" "$@" --node-lease-duration-seconds 80 --node-port 0 </dev/null >>"$dir/logs/kwok.log" 2>&1 8>&- &
  player=$!
}

# end_embedded: takes it away, however far it got.
end_embedded() {
  local left
  [[ -z $player ]] || kill "$player" 2>/dev/null || true
  # What still writes there would keep the folder.
  wait
  chaos_here cluster down >/dev/null 2>&1 || true
  for left in $(embedded_server); do kill "$left" 2>/dev/null || true; done
  await 30 "the embedded cluster in $dir to end" no_embedded_server
  rm -rf "${dir:?}"
}
no_embedded_server() { [[ -z $(embedded_server) ]]; }

# Ten namespaces with a tenth of the pods each, in Deployments of a hundred, on a hundred nodes in three zones.
namespaces=10
fake_nodes() {
  local zones=(zone-a zone-b zone-c) index
  for ((index = 0; index < 100; index++)); do
    cat <<YAML
---
{apiVersion: v1, kind: Node, metadata: {name: fake-$index, labels: {$FAKE: "true", topology.kubernetes.io/zone: ${zones[index % 3]}}}}
YAML
  done
}
fake_workloads() {
  local space name
  for ((space = 0; space < namespaces; space++)); do
    cat <<YAML
---
{apiVersion: v1, kind: Namespace, metadata: {name: scale-$space, labels: {chaos.dispatch.dev/enabled: "true", chaos.dispatch.dev/allow-from: scale-0, scale: "true"}}}
YAML
    for ((name = 0; name < deployments; name++)); do
      cat <<YAML
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-$name, namespace: scale-$space}
spec:
  replicas: 100
  selector: {matchLabels: {app: web-$name}}
  template:
    metadata: {labels: {app: web-$name, chaos.dispatch.dev/enabled: "true"}}
    spec:
      containers: [{name: web, image: fake.example/web:1, resources: {requests: {cpu: 1m, memory: 1Mi}}}]
YAML
    done
  done
}
all_ready() {
  local ready
  ready=$(kubectl get deployments -A -l '!app.kubernetes.io/name' -o json | jq '[.items[].status.readyReplicas // 0] | add')
  say "  $ready of $pods pods are ready"
  [[ $ready == "$pods" ]]
}

# make_pods KWOK: nodes and pods, played by KWOK, which that function starts with what it is given.
make_pods() {
  local started
  "$1" --config "$REAL_KUBERNETES_DIR/kwok/stages.yaml" --kubeconfig "$dir/kubeconfig" --manage-nodes-with-label-selector "$FAKE=true" \
    --cidr 10.0.0.0/8 --node-ip 10.255.0.1
  fake_nodes | kubectl apply --server-side -f - >/dev/null
  started=$SECONDS
  fake_workloads | kubectl apply --server-side -f - >/dev/null
  until all_ready; do
    ((SECONDS - started < 1200)) || die "the pods are not ready after 20 minutes (see $dir/logs)"
    sleep 5
  done
  say "$pods fake pods are ready after $((SECONDS - started)) s"
}
