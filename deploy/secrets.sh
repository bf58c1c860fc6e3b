#!/bin/sh
# Makes the secrets of docker-compose.yml in ./secrets, each a file of its own. Those that are there stay as they are.
#
# The folder is closed to other users of this machine. The files in it are readable, because each is mounted into
# containers whose user is another one.
set -eu
cd "$(dirname "$0")/.."
mkdir -p secrets
chmod 700 secrets
umask 022

random() {
    head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}

# Writes a file that is not there yet, whole or not at all.
put() {
    [ -s "secrets/$1" ] || { printf '%s\n' "$2" >"secrets/.$1" && mv "secrets/.$1" "secrets/$1"; }
}

put postgres_password "$(random)"
put database_url "postgresql+asyncpg://engage:$(cat secrets/postgres_password)@postgres:5432/engage"

put valkey_password "$(random)"
valkey=$(cat secrets/valkey_password)
# Whoever does not sign in may ask for a sign of life, which is what the health checks do.
put valkey_users "user default on nopass resetkeys resetchannels -@all +ping
user engage on >$valkey ~* &* +@all"
put state_url "redis://engage:$valkey@state:6379/0"
put queue_url "redis://engage:$valkey@queue:6379/0"
put topics_url "redis://engage:$valkey@topics:6379/0"

# Keep a copy: without it nobody is recognised.
put pepper "$(random)"
put grafana_password "$(random)"
