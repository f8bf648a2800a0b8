# Image archives without a container engine, as `ctr image import`, `docker load` and `kind load image-archive` read them. Sourced after
# lib.sh by `image` and `postgres/image`.
# shellcheck shell=bash

# The same archive for the same input: fixed order, times and owners.
pack() { tar --create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu --directory "$1" "${@:2}"; }

# json_list WORD...: a JSON list of strings; words hold no quotes.
json_list() { printf '"%s",' "$@" | sed 's/,$//; s/.*/[&]/'; }

# write_archive NAME CONFIG WORK OUTPUT: an image of one layer, which is the tree WORK/root. CONFIG says how it is run, as JSON.
write_archive() {
  local image=$3/image digest
  mkdir "$image"
  pack "$3/root" . >"$image/layer.tar"
  digest=$(sha256sum <"$image/layer.tar" | cut -d' ' -f1)
  cat >"$image/config.json" <<JSON
{"architecture":"amd64","os":"linux","created":"1970-01-01T00:00:00Z",
 "config":$2,
 "rootfs":{"type":"layers","diff_ids":["sha256:$digest"]}}
JSON
  echo "[{\"Config\":\"config.json\",\"RepoTags\":[\"$1\"],\"Layers\":[\"layer.tar\"]}]" >"$image/manifest.json"
  pack "$image" config.json layer.tar manifest.json >"$4"
}
