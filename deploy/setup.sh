#!/bin/sh
# From a Postgres on Fly and a flyctl login to a working trail. README, "By hand", has the same steps.
#
#   deploy/setup.sh --app NAME --org ORG --postgres APP [--port N] [--dry-run]
#   deploy/setup.sh --app NAME --org ORG --destroy
#
#   --app       of flytrail's own application: names are global on Fly
#   --org       slug of the organisation whose trail it keeps
#   --postgres  the application of an unmanaged Postgres in that organisation
#   --port      of this machine, for the way to Postgres (15432)
#   --dry-run   prints the steps, does nothing, and asks for nothing
#   --destroy   removes the application and its token, and says what stays
#
# It may be run again at any time, also after it was interrupted: what is there stays, what is
# missing is made. No secret is an argument or in the environment of a program that it starts, nor in
# clear in what it sends to Postgres. While it runs the administrator's password is in a file of mode
# 0600, in a folder of its own that goes with the script.
set -eu
umask 077

PLACEHOLDER=YOUR-FLYTRAIL
DATABASE=flytrail
VOLUME=spool
TOKEN_LIFE=8760h # a year
POSTGRES_SECONDS=60
PROOF_SECONDS=180

app='' org='' postgres='' port=15432 dry_run=no destroy=no
work='' proxy_pid='' terminal='' admin_user='' step_number=0 finished=no

usage() {
    sed -n 's/^#   deploy/usage: deploy/p' "$0" >&2
    exit 2
}

fail() {
    printf '\nsetup: %s\n' "$*" >&2
    exit 1
}

# ---- what is told ----

# Each step has a title and, where something is to be done, the commands as one would type them.
step() {
    step_number=$((step_number + 1))
    printf '%s. %s\n' "$step_number" "$1"
}

# Prints the commands on stdin; false in a dry run, so that nothing is done.
doing() {
    sed 's/^/   /'
    [ "$dry_run" = no ]
}

kept() {
    printf '   There already: %s\n' "$1"
}

warn() {
    printf '   Note: %s\n' "$1"
}

is_real() {
    [ "$dry_run" = no ]
}

# ---- the way to Postgres ----

proxy_lives() {
    [ -n "$proxy_pid" ] && kill -0 "$proxy_pid" 2>/dev/null
}

# The rows of the SQL on stdin; $1 is the database, further arguments are psql's.
ask() {
    ask_of=$1
    shift
    psql -X -q -A -t -v ON_ERROR_STOP=1 "$@" -f - -d "postgres://$admin_user@127.0.0.1:$port/$ask_of"
}

# Where somebody else listens at the port, that one would get the password.
start_proxy() {
    helper is-free "$port" || fail "port $port of this machine is taken: end what listens there, or name another by --port"
    "$fly" proxy "$port:5432" -a "$postgres" </dev/null >"$work/proxy" 2>&1 &
    proxy_pid=$!
    waited=0
    until proxy_lives && printf 'SELECT 1;' | ask postgres >/dev/null 2>"$work/psql"; do
        if ! proxy_lives; then
            cat "$work/proxy" >&2
            fail "\`fly proxy\` to $postgres ended: what it said is above"
        fi
        if grep -q 'password authentication failed\|role ".*" does not exist' "$work/psql"; then
            fail "Postgres refuses that user and password: give the URL that was printed when $postgres was made"
        fi
        if [ "$waited" -ge "$POSTGRES_SECONDS" ]; then
            cat "$work/psql" >&2
            fail "no Postgres answers by \`fly proxy\` to $postgres: look at \`fly status -a $postgres\`"
        fi
        sleep 1
        waited=$((waited + 1))
    done
}

# It may end while something else takes its time.
keep_proxy() {
    proxy_lives || start_proxy
}

read_admin_url() {
    printf '   URL of its administrator, postgres://USER:PASSWORD@..., as it was printed when %s was made: ' "$postgres" >&2
    if [ -t 0 ]; then
        terminal=$(stty -g)
        stty -echo
    fi
    admin_url=''
    IFS= read -r admin_url || true
    if [ -n "$terminal" ]; then
        stty "$terminal"
        terminal=''
    fi
    printf '\n' >&2
    admin_user=$(printf '%s\n' "$admin_url" | helper admin "$port" "$work/pgpass") ||
        fail "that is no postgres://USER:PASSWORD@HOST:PORT; special characters of the password are written as %XX, such as %40 for @"
    admin_url=''
}

# ---- Fly ----

# Without modules of the user's own, since secrets go through it.
helper() {
    python3 -IS "$root/deploy/setup_helper.py" "$@"
}

# What flyctl lists as JSON, in $work/list; $1 says what is not there if it fails.
list() {
    list_what=$1
    shift
    "$fly" "$@" --json </dev/null >"$work/list" || fail "\`fly $*\` failed, so it is not known $list_what: what flyctl said is above"
}

app_is_there() {
    helper has name "$1" <"$work/list"
}

secret_is_there() {
    helper has name "$1" <"$work/secrets"
}

# One of another purpose would be deployed over.
check_is_flytrails() {
    list "which volumes $app has" volumes list -a "$app"
    ! helper has name "$VOLUME" <"$work/list" || return 0
    list "which machines $app has" machines list -a "$app"
    ! helper some <"$work/list" || fail "application $app has machines and no volume $VOLUME, so it is no flytrail: choose another name for --app"
}

# Whose name is in fly.toml, by which later commands here know the application; flyctl writes it in single quotes.
fill_fly_toml() {
    sed -e "s/^app = [\"'].*[\"']/app = \"$1\"/" -e "s/^primary_region = [\"'].*[\"']/primary_region = \"$2\"/" fly.toml >"$work/fly.toml"
    cmp -s "$work/fly.toml" fly.toml || cat "$work/fly.toml" >fly.toml
}

of_fly_toml() {
    sed -n "s/^ *$1 = [\"']*\([A-Za-z0-9-]*\).*/\1/p" fly.toml
}

# Ids of the tokens of this application's name that are not revoked, the one that lives longest last, in $work/ids.
list_tokens() {
    "$fly" tokens list --org "$org" </dev/null >"$work/tokens" || fail "\`fly tokens list\` failed: what flyctl said is above"
    awk -v name="flytrail-$app" '$2 == name {
        times = 0
        for (i = 3; i <= NF; i++) if ($i ~ /^[0-9][0-9][0-9][0-9]-/) { times++; if (times == 1) expires = $i "T" $(i + 1) }
        if (times == 1) print expires, $1
    }' "$work/tokens" | sort | sed 's/.* //' >"$work/ids"
}

# Those whose ids are in $work/ids.
revoke_tokens() {
    while read -r id; do
        "$fly" tokens revoke "$id" </dev/null >/dev/null || fail "token $id was not revoked: what flyctl said is above; by hand: fly tokens revoke $id"
        printf '   Revoked: token %s\n' "$id"
    done <"$work/ids"
}

# ---- the steps ----

log_in() {
    step 'Log in'
    doing <<END || return 0
fly auth whoami
END
    whoami=$("$fly" auth whoami </dev/null | tail -n 1) || true
    [ -n "$whoami" ] || fail "flyctl is not logged in: run \`fly auth login\`, then this again"
    printf '   As %s\n' "$whoami"
}

make_app() {
    step 'An application of its own'
    if is_real; then
        list "which applications $org has" apps list --org "$org"
        app_is_there "$postgres" ||
            fail "organisation $org has no application $postgres: flytrail reaches Postgres by the organisation's own network. \`fly apps list\` shows yours; for a managed or another Postgres, README's \"By hand\" says what to do"
        if app_is_there "$app"; then
            check_is_flytrails
            kept "application $app"
            return
        fi
    fi
    doing <<END || return 0
fly apps create $app --org $org
sed -i 's/^app = .*/app = "$app"/' fly.toml
END
    if ! "$fly" apps create "$app" --org "$org" </dev/null >"$work/made" 2>&1; then
        cat "$work/made" >&2
        if grep -q 'already been taken' "$work/made"; then
            fail "the name $app is somebody's: names of applications are global on Fly, choose another for --app"
        fi
        fail "application $app was not made: what flyctl said is above"
    fi
}

make_volume() {
    step 'A volume beside the database'
    region=REGION
    if is_real; then
        list "where $postgres runs" machines list -a "$postgres"
        region=$(helper region <"$work/list") || fail "$postgres has no machine that runs: start it, \`fly machines list -a $postgres\` shows it"
        fill_fly_toml "$app" "$region"
        list "which volumes $app has" volumes list -a "$app"
        if helper has name "$VOLUME" <"$work/list"; then
            kept "volume $VOLUME"
            return
        fi
    fi
    size=$(of_fly_toml initial_size)
    size=${size%gb}
    retention=$(of_fly_toml snapshot_retention)
    doing <<END || return 0
fly machines list -a $postgres # where it runs: that is REGION
fly volumes create $VOLUME --region $region --size $size --snapshot-retention $retention --yes -a $app
END
    "$fly" volumes create "$VOLUME" --region "$region" --size "$size" --snapshot-retention "$retention" --yes -a "$app" \
        </dev/null >/dev/null || fail "no volume was made in $region: what flyctl said is above"
}

make_database() {
    step 'The database'
    is_real && read_admin_url
    doing <<END || return 0
fly proxy $port:5432 -a $postgres & # until: kill %1
read -rs PGPASSWORD && export PGPASSWORD # the administrator's
psql postgres://${admin_user:-postgres}@127.0.0.1:$port/postgres -c 'CREATE DATABASE $DATABASE'
FLYTRAIL_ADMIN_DATABASE_URL=postgres://${admin_user:-postgres}@127.0.0.1:$port/$DATABASE build/flytrail migrate
END
    start_proxy
    if [ "$(printf 'SELECT rolsuper FROM pg_roles WHERE rolname = current_user;' | ask postgres)" != t ]; then
        fail "$admin_user is no superuser there: give the URL that was printed when $postgres was made; where nobody has one, README's \"By hand\" says what to do"
    fi
    if [ "$(printf "SELECT count(*) FROM pg_database WHERE datname = '%s';" "$DATABASE" | ask postgres)" = 0 ]; then
        printf 'CREATE DATABASE %s;' "$DATABASE" | ask postgres || fail "database $DATABASE was not made: what Postgres said is above"
    else
        kept "database $DATABASE"
    fi
    printf '   '
    FLYTRAIL_ADMIN_DATABASE_URL="postgres://$admin_user@127.0.0.1:$port/$DATABASE" "$root/build/flytrail" migrate ||
        fail 'the schema was not made: what flytrail said is above'
}

# $1 is the role; its password is on stdin. What is sent to the server is no password, so none can be in its log.
set_password() {
    printf "ALTER ROLE %s PASSWORD '%s';" "$1" "$(helper verifier)" | ask "$DATABASE" ||
        fail "$1 got no password: what Postgres said is above"
}

has_password() {
    [ "$(printf "SELECT count(*) FROM pg_authid WHERE rolname = '%s' AND rolpassword IS NOT NULL;" "$1" | ask "$DATABASE")" = 1 ]
}

# Readers' passwords are for people, so they have to be somewhere: in a file of libpq's form.
readers_password() {
    sed -n "s/^.*:$1://p" "$readers" 2>/dev/null || true
}

# Roles that need one. Of the writer it is the application that has to know it.
look_for_passwords() {
    readers="${XDG_CONFIG_HOME:-$HOME/.config}/flytrail/$app.pgpass"
    wanting=''
    for role in flytrail_reader flytrail_line_reader; do
        if ! has_password "$role"; then
            wanting="$wanting $role"
        elif [ -z "$(readers_password "$role")" ]; then
            warn "the password of $role is not in $readers; with psql, \\password $role sets another"
        fi
    done
    if ! secret_is_there FLYTRAIL_DATABASE_URL; then
        wanting="$wanting flytrail_writer"
        has_password flytrail_writer &&
            warn 'flytrail_writer gets a new password; another flytrail that uses this database needs it as well'
    fi
    return 0
}

# In the file first, so that a password that is set is never lost.
set_readers_password() {
    if [ -z "$(readers_password "$1")" ]; then
        mkdir -p "$(dirname "$readers")"
        printf '*:*:%s:%s:%s\n' "$DATABASE" "$1" "$(helper secret)" >>"$readers"
    fi
    readers_password "$1" | set_password "$1"
    printf '   The password of %s is in %s\n' "$1" "$readers"
}

make_passwords() {
    step 'Passwords'
    writer_password=''
    if is_real; then
        "$fly" secrets list -a "$app" --json </dev/null >"$work/secrets" || fail "\`fly secrets list\` failed: what flyctl said is above"
        look_for_passwords
        if [ -z "$wanting" ]; then
            kept 'those of the readers, and of the writer, which the application has'
            return
        fi
    fi
    doing <<END || return 0
openssl rand -hex 32 # once for each of them
psql postgres://${admin_user:-postgres}@127.0.0.1:$port/$DATABASE -c '\\password flytrail_writer' -c '\\password flytrail_reader' -c '\\password flytrail_line_reader'
END
    for role in $wanting; do
        if [ "$role" = flytrail_writer ]; then
            writer_password=$(helper secret)
            printf '%s\n' "$writer_password" | set_password "$role"
        else
            set_readers_password "$role"
        fi
    done
}

make_token() {
    step 'A token that reads'
    token=''
    if is_real && secret_is_there ACCESS_TOKEN; then
        kept "the one that $app has as ACCESS_TOKEN"
        return
    fi
    doing <<END || return 0
fly tokens create readonly $org --name flytrail-$app --expiry $TOKEN_LIFE
END
    token=$("$fly" tokens create readonly "$org" --name "flytrail-$app" --expiry "$TOKEN_LIFE" </dev/null) || true
    case $token in
    'FlyV1 '*) ;;
    *) fail "no token was made: what flyctl said is above" ;;
    esac
}

# Of flycast where the database has it, as flyctl's own `attach` does.
postgres_host() {
    list "which addresses $postgres has" ips list -a "$postgres"
    if [ -n "$(helper addresses private <"$work/list")" ]; then
        printf '%s.flycast' "$postgres"
    else
        printf 'top2.nearest.of.%s.internal' "$postgres"
    fi
}

# The log stream does not know `personal`.
raw_slug() {
    if [ "$org" != personal ]; then
        printf '%s' "$org"
        return
    fi
    if [ -z "$token" ]; then
        fail "ORG is missing and cannot be asked for without a token: \`fly secrets unset ACCESS_TOKEN --stage -a $app\`, then run this again"
    fi
    printf '%s\n' "$token" | helper slug || fail "Fly does not say what personal stands for: name the organisation by its own slug in --org"
}

import_secrets() {
    step 'Secrets'
    imported=no
    lines=''
    if is_real; then
        host=$(postgres_host)
        public=$(helper addresses public <"$work/list")
        [ -z "$public" ] || warn "$postgres has a public address, $(echo "$public" | tr '\n' ' ')at which anybody can try passwords: fly ips release ADDRESS -a $postgres"
        secret_is_there ORG || lines="ORG=$(raw_slug)"
        [ -z "$token" ] || lines="$lines
ACCESS_TOKEN=$token"
        [ -z "$writer_password" ] || lines="$lines
FLYTRAIL_DATABASE_URL=postgres://flytrail_writer:$writer_password@$host:5432/$DATABASE?sslmode=disable"
        secret_is_there FLYTRAIL_HMAC_KEY || lines="$lines
FLYTRAIL_HMAC_KEY=$(helper secret)"
        if [ -z "$lines" ]; then
            kept "all that $app needs"
            return
        fi
    fi
    doing <<END || return 0
fly secrets import --stage -a $app # reads these lines, and Ctrl-D at their end
ORG=$org
ACCESS_TOKEN=FlyV1 ...
FLYTRAIL_DATABASE_URL=postgres://flytrail_writer:PASSWORD@$postgres.flycast:5432/$DATABASE?sslmode=disable
# another of openssl rand -hex 32:
FLYTRAIL_HMAC_KEY=...
END
    printf '%s\n' "$lines" | "$fly" secrets import --stage -a "$app" >/dev/null || fail "$app did not get its secrets: what flyctl said is above"
    imported=yes
    lines='' token='' writer_password=''
}

deploy() {
    step 'Deploy'
    if is_real && [ "$imported" = no ]; then
        list "which machines $app has" machines list -a "$app"
        if helper region <"$work/list" >/dev/null && ! helper staged <"$work/secrets"; then
            kept "a machine that runs; a new version is deployed by fly deploy --no-public-ips"
            return
        fi
    fi
    doing <<END || return 0
fly deploy --no-public-ips --ha=false --yes -a $app
END
    "$fly" deploy --no-public-ips --ha=false --yes -a "$app" </dev/null || fail "$app was not deployed: what flyctl said is above; \`fly logs -a $app\` has what the machine said"
}

check_addresses() {
    list "which addresses $app has" ips list -a "$app"
    public=$(helper addresses public <"$work/list")
    [ -z "$public" ] || fail "$app has a public address, which it does not need: fly ips release $(echo "$public" | tr '\n' ' ')-a $app"
}

# Sessions of this person in this application, from $1 on, without those that were there before.
sessions() {
    printf "%s" "SELECT event_id FROM flytrail.ssh_sessions WHERE app = :'app' AND actor = lower(:'who')
        AND opened_at >= :'since'::timestamptz - interval '10 seconds';" |
        ask "$DATABASE" -v app="$app" -v who="$whoami" -v since="$1" | sort
}

prove() {
    step 'The proof'
    doing <<END || return 0
fly ssh console -a $app -C 'flytrail doctor'
psql postgres://${admin_user:-postgres}@127.0.0.1:$port/$DATABASE -c "SELECT opened_at, actor FROM flytrail.ssh_sessions WHERE app = '$app'"
END
    check_addresses
    keep_proxy
    since=$(printf 'SELECT now();' | ask "$DATABASE")
    sessions "$since" >"$work/before"
    "$fly" ssh console -a "$app" -C 'flytrail doctor' </dev/null | sed 's/^/   /' >"$work/doctor" || true
    cat "$work/doctor"
    grep -q '^   ok ' "$work/doctor" || fail "\`flytrail doctor\` did not run in $app: what flyctl said is above"
    if grep -q '^   FAIL' "$work/doctor"; then
        fail 'doctor found something wrong: its lines that begin with FAIL say what, and what to do; then run this again'
    fi
    printf '   Waiting until that SSH session is in the trail\n'
    waited=0
    keep_proxy
    while [ -z "$(sessions "$since" | comm -13 "$work/before" -)" ]; do
        [ "$waited" -lt "$PROOF_SECONDS" ] ||
            fail "the SSH session of $whoami is not in flytrail.ssh_sessions after $PROOF_SECONDS s: \`fly logs -a $app\` says how flytrail is, and its /health which check is red"
        sleep 1
        waited=$((waited + 1))
        keep_proxy
    done
    printf '   It is: %s opened a session in %s\n' "$whoami" "$app"
}

# Those of earlier runs that ended before their token was a secret, and those that were replaced.
revoke_stale_tokens() {
    list_tokens
    sed '$d' "$work/ids" >"$work/stale"
    mv "$work/stale" "$work/ids"
    revoke_tokens
}

destroy_app() {
    printf 'This destroys application %s with its volume, and what is not stored yet; type its name: ' "$app" >&2
    IFS= read -r typed || true
    [ "$typed" = "$app" ] || fail 'that is not its name: nothing was destroyed'
    list "which applications $org has" apps list --org "$org"
    if app_is_there "$app"; then
        "$fly" apps destroy "$app" --yes </dev/null >/dev/null || fail "$app was not destroyed: what flyctl said is above"
        printf 'Destroyed: application %s\n' "$app"
    else
        printf 'There is no application %s in %s any more\n' "$app" "$org"
    fi
    list_tokens
    revoke_tokens
    fill_fly_toml "$PLACEHOLDER" "$(of_fly_toml primary_region)"
    cat <<END
What stays: database $DATABASE with the trail and the roles flytrail_*, what is in a bucket, and the readers' passwords
in ${XDG_CONFIG_HOME:-$HOME/.config}/flytrail/$app.pgpass. Who was told the writer's password could still use it; to end that, as
Postgres's administrator: ALTER ROLE flytrail_writer PASSWORD NULL
END
}

# ---- from here on it runs ----

# Who presses Ctrl-C twice is not to keep it from cleaning up.
end_by() {
    trap '' HUP INT QUIT TERM
    exit $((128 + $1))
}

clean_up() {
    status=$?
    trap '' EXIT HUP INT QUIT TERM
    [ -z "$work" ] || rm -rf "$work"
    [ -z "$terminal" ] || stty "$terminal"
    [ -z "$proxy_pid" ] || kill "$proxy_pid" 2>/dev/null || true
    if [ "$status" -ne 0 ] && [ "$finished" = no ]; then
        printf 'setup: not finished; what was done stays. Run the same again, and it goes on from there.\n' >&2
    fi
    exit "$status"
}

# $1 is an option, $2 what it was given.
check_name() {
    case $2 in
    '' | *[!a-z0-9-]*)
        [ "$dry_run" = yes ] && [ -n "$2" ] && [ -z "$(printf '%s' "$2" | tr -d 'A-Za-z0-9-')" ] && return
        printf 'setup: %s needs a name of a-z, 0-9 and -\n' "$1" >&2
        usage
        ;;
    esac
}

while [ $# -gt 0 ]; do
    case $1 in
    --dry-run) dry_run=yes ;;
    --destroy) destroy=yes ;;
    --app | --org | --postgres | --port)
        [ $# -ge 2 ] || usage
        case $1 in
        --app) app=$2 ;;
        --org) org=$2 ;;
        --postgres) postgres=$2 ;;
        --port) port=$2 ;;
        esac
        shift
        ;;
    *) usage ;;
    esac
    shift
done
check_name --app "$app"
check_name --org "$org"
[ "$destroy" = yes ] || check_name --postgres "$postgres"
case $port in '' | *[!0-9]*) usage ;; esac

root=$(CDPATH='' cd "$(dirname "$0")/.." && pwd)
cd "$root"

if [ "$destroy" = yes ] && [ "$dry_run" = yes ]; then
    usage
fi
if is_real; then
    of_config=$(of_fly_toml app)
    if [ "$of_config" != "$PLACEHOLDER" ] && [ "$of_config" != "$app" ]; then
        fail "fly.toml here is of application $of_config: give that as --app, or begin with a fresh copy of the repository"
    fi
    fly=$(command -v fly || command -v flyctl) || fail 'flyctl is not installed: https://fly.io/docs/flyctl/install/'
    for tool in psql python3; do
        command -v "$tool" >/dev/null || fail "$tool is not installed: on Debian, apt-get install postgresql-client python3"
    done
    [ "$destroy" = yes ] || [ -x build/flytrail ] || fail "build/flytrail is not there: run \`make\` first"
    trap clean_up EXIT
    trap 'end_by 1' HUP
    trap 'end_by 2' INT
    trap 'end_by 3' QUIT
    trap 'end_by 15' TERM
    work=$(mktemp -d "${TMPDIR:-/tmp}/flytrail-setup.XXXXXX")
    # Of libpq's own all: by PGHOSTADDR the password would go to another server.
    for variable in $(env | sed -n 's/^\(PG[A-Z]*\)=.*/\1/p'); do
        unset "$variable"
    done
    unset FLYTRAIL_OWNER_ROLE FLYTRAIL_WRITER_ROLE FLYTRAIL_READER_ROLE FLYTRAIL_LINE_READER_ROLE
    export PGPASSFILE="$work/pgpass" PGCONNECT_TIMEOUT=10
fi

if [ "$destroy" = yes ]; then
    "$fly" auth whoami </dev/null >/dev/null || fail "flyctl is not logged in: run \`fly auth login\`, then this again"
    destroy_app
    finished=yes
    exit 0
fi

log_in
make_app
make_volume
make_database
make_passwords
make_token
import_secrets
deploy
prove
if is_real; then
    revoke_stale_tokens
    finished=yes
    printf 'Done. The trail is asked as README says, with PGPASSFILE=%s, while this runs: fly proxy %s:5432 -a %s\n' "$readers" "$port" "$postgres"
fi
