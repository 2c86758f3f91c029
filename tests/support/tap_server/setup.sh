#!/usr/bin/env bash
# A real TAP server (DaCHS) on this machine, with made-up stars under the columns of Gaia DR3. See README.md.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
url=${GRISM_ALIGN_TAP_URL:-http://127.0.0.1:8097/tap}
python=/usr/bin/python3  # the one that DaCHS and its astropy are installed for
settings=/etc/gavo.rc
inputs=/var/gavo/inputs/grism_align
pid_file=/var/gavo/state/web.pid
mark="# written by grism_align, tests/tap_server/setup.sh"
export no_proxy=127.0.0.1,localhost DEBIAN_FRONTEND=noninteractive

say() { printf 'tap_server: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

answers() {
    # Not /availability: that says yes while the database is down.
    "$python" - "$url" 2>/dev/null <<'PYTHON'
import sys, urllib.parse, urllib.request
query = {"LANG": "ADQL", "REQUEST": "doQuery", "QUERY": "SELECT TOP 1 ra FROM gaiadr3.gaia_source"}
answer = urllib.request.urlopen(f"{sys.argv[1]}/sync?{urllib.parse.urlencode(query)}", timeout=5).read()
sys.exit(b'name="QUERY_STATUS" value="OK"' not in answer)
PYTHON
}

wait_for() { # SECONDS COMMAND...
    local seconds=$1
    shift
    for _ in $(seq "$seconds"); do
        if "$@"; then return; fi
        sleep 1
    done
    die "gave up waiting for: $*"
}

configure() {
    [[ $url =~ ^http://(127\.0\.0\.1|localhost):([0-9]+)/tap$ ]] || die "not http://127.0.0.1:PORT/tap: $url"
    if [ -e $settings ] && ! grep -qxF "$mark" $settings; then
        die "$settings belongs to another DaCHS installation, which this script would take over"
    fi
    local limit
    limit=$(sed -n 's/^SERVER_LIMIT = //p' "$here/publish.py")
    cat > $settings.new <<SETTINGS
$mark
[web]
serverURL: ${url%/tap}
serverPort: ${BASH_REMATCH[2]}
bindAddress: 127.0.0.1
[async]
hardMAXREC: $limit
SETTINGS
    if ! cmp -s $settings.new $settings && [ -e $settings ]; then stop; fi
    mv $settings.new $settings
}

start_database() {
    service postgresql start >/dev/null
    wait_for 30 pg_isready --quiet
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' gavodachs2-server 2>/dev/null)" = installed ]; }

install_packages() {
    say "installing PostgreSQL and DaCHS"
    apt-get update -qq
    if [ -z "$(pg_lsclusters --no-header 2>/dev/null)" ]; then
        apt-get install -y -qq --no-install-recommends postgresql >/dev/null
    fi
    # DaCHS's post-install script needs a database server that runs, and that doesn't know it yet.
    start_database
    if su postgres -c "psql -At -c 'SELECT datname FROM pg_database'" | grep -qx gavo; then
        die "a database of an earlier DaCHS is in the way, drop it first: su postgres -c 'dropdb gavo'"
    fi
    local major
    major=$(pg_lsclusters --no-header | awk 'NR == 1 { print $1 }')
    apt-get install -y -qq --no-install-recommends "postgresql-$major-pgsphere" gavodachs2-server >/dev/null
}

publish() { # [--table FILE SCHEMA.TABLE]
    local descriptor
    install -d -o dachsroot -g gavo -m 775 $inputs
    descriptor=$("$python" "$here/publish.py" $inputs "$@")
    chmod -R a+rX $inputs
    su dachsroot -s /bin/sh -c "cd / && dachs --disable-spew imp $descriptor" >&2
}

stop() {
    # The number in a file left by a crash may be another process's by now.
    if [ -e $pid_file ] && ! grep -qs dachs "/proc/$(cat $pid_file)/cmdline"; then rm $pid_file; fi
    service dachs stop >/dev/null
}

start() {
    [ "$(id -u)" = 0 ] || die "needs root: it installs packages and starts services"
    command -v apt-get >/dev/null || die "needs Debian, or a system made of it"
    configure
    installed || install_packages
    start_database
    publish
    if ! answers; then
        stop
        service dachs start >/dev/null
        wait_for 60 answers
    fi
    say "answers at $url"
}

case "${1-start}" in
    start) start ;;
    stop) stop && say "stopped; the database runs on (service postgresql stop)" ;;
    status) if answers; then say "answers at $url"; else say "no answer at $url"; exit 3; fi ;;
    --table)
        [ $# = 3 ] || die "usage: $0 --table FILE SCHEMA.TABLE"
        start
        publish --table "$(realpath "$2")" "$3"
        say "published $3"
        ;;
    *) die "usage: $0 [start | stop | status | --table FILE SCHEMA.TABLE]" ;;
esac
