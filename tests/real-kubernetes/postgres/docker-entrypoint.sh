#!/bin/sh
# Of the entry point of the public image what examples/dispatch-stack/deploy/components/postgres-server relies on: a database server is
# started in PGDATA, which is a folder on a disk and not the disk, and is made there first where there is none. POSTGRES_PASSWORD lets in
# over the network, POSTGRES_USER by that name (default postgres), and POSTGRES_DB is made for it (default: called as the user).
set -eu
if [ "${1:-}" = postgres ] && [ ! -e "$PGDATA/PG_VERSION" ]; then
  user=${POSTGRES_USER:-postgres}
  database=${POSTGRES_DB:-$user}
  new=$PGDATA.new
  # Whoever was ended while it made one begins again: under its name it is complete.
  rm -rf "$new"
  printf '%s\n' "${POSTGRES_PASSWORD:?}" |
    initdb --pgdata="$new" --username="$user" --pwfile=/dev/stdin --auth-local=trust --auth-host=scram-sha-256
  echo 'host all all all scram-sha-256' >>"$new/pg_hba.conf"
  echo "listen_addresses = '*'" >>"$new/postgresql.conf"
  [ "$database" = postgres ] ||
    echo "CREATE DATABASE \"$database\"" | postgres --single -D "$new" -c exit_on_error=on postgres >/dev/null
  mv -T "$new" "$PGDATA"
fi
# A disk that changed its group may have let that in as well, and the server would refuse it.
[ "${1:-}" != postgres ] || chmod 700 "$PGDATA"
exec "$@"
