# shellcheck shell=bash
# The gateway with the sandbox as its cloud, as `make run` and `make smoke` start it, wait for it and end it.
# Sourced, never run. It ends only what it started, by process id.

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Filled by start_stack; an empty one is not running.
gateway_pid=
sandbox_pid=

# The job of the tour, which the sandbox's estate has: five files, as in the vendor's example.
job='/instances/crs-4y9t57vt/backups/678362566696298532848117/urls?region=ap-chengdu'

# choose_ports GATEWAY ADMIN SANDBOX: SANDBOX is the first of seven ports in a row.
choose_ports() {
  gateway=127.0.0.1:$1
  admin=127.0.0.1:$2
  api=127.0.0.1:$3
  issuer=127.0.0.1:$(($3 + 1))
  storage=127.0.0.1:$(($3 + 2))
  fsi=127.0.0.1:$(($3 + 3))
  control=127.0.0.1:$(($3 + 4))
  metadata=127.0.0.1:$(($3 + 5))
  sts=127.0.0.1:$(($3 + 6))
}

# listens ADDRESS: whether anything accepts connections there.
listens() { (exec 3<>"/dev/tcp/${1%:*}/${1#*:}") 2>/dev/null; }

# free_ports COUNT: the first of so many ports in a row that nobody listens on, below those that the system hands out.
free_ports() {
  local first port
  while true; do
    first=$((20000 + RANDOM % 10000))
    for ((port = first; port < first + $1; port++)); do
      if listens "127.0.0.1:$port"; then continue 2; fi
    done
    printf '%d' "$first"
    return
  done
}

# want_free ADDRESS WHOSE VARIABLE: the variable is the one that moves it.
want_free() {
  if ! listens "$1"; then return; fi
  local port=${1#*:}
  fail "port $port is in use, and $2 wants it.
       Who has it: ss --listening --tcp --numeric --processes 'sport = :$port'
       End that, or take another port: $3=$((port + 1000)) make run"
}

want_free_ports() {
  want_free "$gateway" 'the gateway' PORT
  want_free "$admin" "the gateway's admin listener" ADMIN_PORT
  local address
  for address in "$api" "$issuer" "$storage" "$fsi" "$control" "$metadata" "$sts"; do
    if listens "$address"; then want_free "$address" 'the sandbox' SANDBOX_PORT; fi
  done
}

build_stack() {
  need_compiler
  need curl curl
  cargo build --locked --workspace --bins
}

# start_stack FOLDER: starts both, with their output in FOLDER, and returns when the gateway is ready.
start_stack() {
  logs=$1
  rm -rf "$logs"
  mkdir -p "$logs"
  # Nobody's proxy has a part in what stays on this machine.
  export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1

  # Job control gives each a process group of its own: Ctrl-C then reaches this script alone, which ends them in order.
  set -m
  "$target/debug/sandbox" serve --api "$api" --issuer "$issuer" --storage "$storage" --fsi "$fsi" --control "$control" \
    --metadata "$metadata" --sts "$sts" \
    </dev/null >"$logs/sandbox.log" 2>&1 &
  sandbox_pid=$!
  set +m
  local address
  for address in "$api" "$issuer" "$storage" "$fsi" "$control"; do
    wait_until 'the sandbox' "$sandbox_pid" "$logs/sandbox.log" listens "$address"
  done

  config_for_these_ports >"$logs/gateway.toml"
  # With a key, so that the records can be verified after the process has ended.
  (umask 077 && head -c 32 /dev/urandom | base64 >"$logs/audit.key")
  printf '\n[audit]\nkey_file = "%s/audit.key"\n' "$(realpath "$logs")" >>"$logs/gateway.toml"
  # shellcheck disable=SC1090 # It prints the assignments of two variables.
  source <("$target/debug/sandbox" credentials)
  export TENCENTCLOUD_SECRET_ID TENCENTCLOUD_SECRET_KEY
  set -m
  GATEWAY_SERVER__LISTEN="\"$gateway\"" GATEWAY_SERVER__ADMIN_LISTEN="\"$admin\"" \
    "$target/debug/redis-backup-gateway" serve --config "$logs/gateway.toml" \
    </dev/null >"$logs/audit.jsonl" 2>"$logs/gateway.log" &
  gateway_pid=$!
  set +m
  wait_until 'the gateway' "$gateway_pid" "$logs/gateway.log" answers_200 "http://$admin/readyz"

  token=$("$target/debug/sandbox" token --issuer-url "http://$issuer" --sub alice --group dba)
}

# config/sandbox.toml with the sandbox's addresses of this run. Lists of tables, where the issuer's stands, cannot be
# set by environment variables.
config_for_these_ports() {
  sed -e "s/127\.0\.0\.1:18080/$api/g" -e "s/127\.0\.0\.1:18081/$issuer/g" -e "s/127\.0\.0\.1:18082/$storage/g" \
    -e "s/127\.0\.0\.1:18083/$fsi/g" -e "s/127\.0\.0\.1:18084/$control/g" config/sandbox.toml
}

answers_200() { [[ $(curl --silent --output /dev/null --max-time 2 --write-out '%{http_code}' "$1") == 200 ]]; }

# wait_until WHO PID LOG COMMAND…: until the command succeeds; fails with the log's end when the process has gone, or
# half a minute has.
wait_until() {
  local who=$1 pid=$2 log=$3 deadline=$((SECONDS + 30))
  shift 3
  until "$@"; do
    kill -0 "$pid" 2>/dev/null || fail "$who ended before it was ready. The end of its log:
$(tail -n 20 "$log")"
    ((SECONDS < deadline)) || fail "$who is not ready after 30 s. The end of its log:
$(tail -n 20 "$log")"
    sleep 0.1
  done
}

# end_process PID: asks it to end and waits; returns its exit code. One that is not gone after 20 s is killed.
end_process() {
  local pid=$1 deadline=$((SECONDS + 20))
  kill -TERM "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null; do
    if ((SECONDS >= deadline)); then kill -KILL "$pid" 2>/dev/null || true; fi
    sleep 0.1
  done
  wait "$pid"
}

# Ends what is still running, the gateway first: its last requests still have a cloud then.
stop_stack() {
  if [[ -n $gateway_pid ]]; then end_process "$gateway_pid" || true; fi
  gateway_pid=
  if [[ -n $sandbox_pid ]]; then end_process "$sandbox_pid" || true; fi
  sandbox_pid=
}

# The lines of the tour, as a person pastes them: each stands for itself.
curl_as_json() { printf "curl -sS -H 'Authorization: Bearer %s' 'http://%s%s'" "$token" "$gateway" "$job"; }

curl_as_text() {
  printf "curl -sS -H 'Accept: text/plain' -H 'Authorization: Bearer %s' 'http://%s%s'" "$token" "$gateway" "$job"
}

curl_the_dump() { printf "%s | head -n 1 | xargs curl -sS -o dump.rdb && head -c 5 dump.rdb" "$(curl_as_text)"; }
