#!/usr/bin/env bash
# Installs, upgrades or removes the Docker Auto-Updater as a systemd service. Run it as often as you like: what is there
# is upgraded in place, and configuration, .env and state are kept. `./install.sh --help` has the options.
set -euo pipefail
export LC_ALL=C
umask 022

readonly name=docker-updater
readonly long_name=docker-auto-updater
source_dir="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"
readonly source_dir
readonly home=/opt/$long_name
readonly config_dir=/etc/$long_name
readonly state_dir=/var/lib/$long_name
readonly log_dir=/var/log/$long_name
readonly unit=/etc/systemd/system/$name.service
readonly drop_ins=/etc/systemd/system/$name.service.d
readonly command=/usr/local/bin/$name
readonly completions=(
    "/usr/share/bash-completion/completions/$name" "/usr/share/zsh/vendor-completions/_$name"
    "/usr/share/fish/vendor_completions.d/$name.fish"
)
readonly rotation=/etc/logrotate.d/$name
readonly account_comment="Docker Auto-Updater"
readonly test_seconds=600
# root's rights that edit another user's file and keep its owner, group and mode; only for --user root.
readonly root_rights="CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID"

what=install
wheels=
python=
user=
group=
purge=no
with_apprise=no
requirements=()
dry_run=no
scratch=
staged=
user_before=
was_active=no

usage() {
    cat <<END
Usage: sudo ./install.sh [--user NAME] [--wheels DIR] [--python PATH] [--with-apprise] [--dry-run]
       sudo ./install.sh --uninstall [--purge] [--dry-run]

Installs the Docker Auto-Updater as the systemd service $name, or upgrades the one that is there.

  --user NAME    run the service as this user. Without it: as before, or as the system user $name in the group
                 docker, which is made. Compose files of other users then need a grant each; \`$name --test\` says
                 which. \`--user root\` needs none.
  --wheels DIR   install the Python packages from this folder of wheels, without network
  --with-apprise install the Apprise library too, which NOTIFY_URLS needs; an upgrade keeps it
  --python PATH  the Python to use (3.11 or newer, with venv)
  --uninstall    remove the service and the program; configuration, state, log and user stay
  --purge        with --uninstall: remove those too, and the names under which old images are kept
  --dry-run      say what would be done, and do nothing
  --help         this text

Places: $home, $config_dir, $state_dir, $log_dir,
        $unit, $command, $rotation,
        ${completions[0]}, and those of zsh and fish

Exit status: 0 done   1 not done, the installation is as it was   2 wrong usage
             3 installed, but \`$name --test\` finds something to fix
END
}

# --- talking -----------------------------------------------------------------------------------------------------------

say() { printf 'install: %s\n' "$*"; }

die() {
    printf 'install: FAILED: %s\n' "$*" >&2
    exit 1
}

# Says what is done, and does it; a dry run only says it.
act() {
    local text=$1
    shift
    if [[ $dry_run == yes ]]; then
        say "would $text"
    else
        say "$text"
        "$@"
    fi
}

# Runs a command silently; its output is shown only when it fails.
quietly() {
    "$@" >"$scratch/output" 2>&1 </dev/null && return 0
    tail -n 25 "$scratch/output" >&2
    return 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# --- what must be there ------------------------------------------------------------------------------------------------

need_root() { [[ $EUID -eq 0 ]] || die "this needs root; run: sudo $0 ${*@Q}"; }

is_python() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

first_python() {
    local candidate
    for candidate in ${python:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if have "$candidate" && is_python "$candidate"; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

find_python() {
    local found
    found=$(first_python) || die "no Python 3.11 or newer${python:+ at $python}; \
install one (Debian 12, Ubuntu 24.04 have it), or name it with --python"
    python=$found
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        die "$python cannot make a virtual environment; install its venv package: apt-get install python3-venv"
}

need_docker() {
    have docker || have docker-compose ||
        die "no docker command; install the Docker Engine first: https://docs.docker.com/engine/install/"
    docker compose version >/dev/null 2>&1 || docker-compose version >/dev/null 2>&1 ||
        die "Docker Compose is missing; install its plugin (docker-compose-plugin, or docker-compose of Debian 13)"
    [[ -S /var/run/docker.sock ]] ||
        say "note: no engine listens on /var/run/docker.sock now; the service waits for one (DOCKER_HOST in .env names another)"
}

has_systemd() { [[ -d /run/systemd/system ]]; }

installed_user() { if [[ -e $unit ]]; then sed -n 's/^User=//p' "$unit" | tail -n 1; fi; }

is_our_user() { [[ $(getent passwd "$1" | cut -d: -f5) == "$account_comment" ]]; }

may_use_engine() { id -nG "$1" | tr ' ' '\n' | grep -qx docker; }

choose_user() {
    [[ -n $user ]] || user=$(installed_user)
    [[ -n $user ]] || user=$name
    if [[ $user == root ]]; then
        group=root
        return 0
    fi
    if [[ $user != "$name" ]] && ! getent passwd "$user" >/dev/null; then
        die "there is no user $user; only $name is made by itself"
    fi
    getent group docker >/dev/null ||
        die "there is no group docker, whose members may use the engine; install Docker's own package, or use --user root"
    if [[ $user == "$name" ]]; then
        group=$name
        return 0
    fi
    group=$(id -gn "$user")
    may_use_engine "$user" || die "$user may not use the engine; run: usermod -aG docker $user"
}

# --- the program -------------------------------------------------------------------------------------------------------

current_release() { readlink -f "$home/current" 2>/dev/null || true; }

version_of() { sed -n 's/^__version__ = "\(.*\)"/\1/p' "$1/updater_core/__init__.py"; }

# One environment for each set of packages and each Python: an upgrade that needs no other ones is done in no time.
venv_of_source() {
    {
        "$python" -c 'import sys; print(sys.version, sys.base_prefix)'
        cat "${requirements[@]}"
    } | sha256sum | cut -c 1-16
}

# What was chosen once stays, however it got there.
choose_requirements() {
    requirements=("$source_dir/requirements.txt")
    if "$home/current/venv/bin/python" -c 'import apprise' 2>/dev/null; then with_apprise=yes; fi
    [[ $with_apprise == no ]] || requirements+=("$source_dir/requirements-apprise.txt")
}

make_venv() {
    local place=$1 from=() file
    for file in "${requirements[@]}"; do from+=(-r "$file"); done
    [[ ! -e $place/.complete ]] || return 0
    [[ -z $wheels ]] || from+=(--no-index --find-links "$wheels")
    quietly "$python" -m venv --clear "$place" || die "could not make $place (see above)"
    quietly "$place/bin/python" -m pip install -q --disable-pip-version-check --no-cache-dir --require-hashes "${from[@]}" ||
        die "pip could not install the packages (see above); without network, give a folder of wheels: --wheels DIR"
    touch "$place/.complete"
}

copy_program() {
    local entry
    install -d "$staged"
    for entry in docker_updater.py updater_core requirements.txt requirements-apprise.txt updater_config.json updater_config.schema.json \
        .env.example install.sh docker-updater.service ops docs README.md CONTRIBUTING.md CHANGELOG.md LICENSE; do
        [[ ! -e $source_dir/$entry ]] || cp -r --no-preserve=ownership "$source_dir/$entry" "$staged/"
    done
    find "$staged" -name __pycache__ -prune -exec rm -rf {} +
    chmod -R u=rwX,go=rX "$staged"
    make_venv "$home/venvs/$(venv_of_source)"
    ln -s "../../venvs/$(venv_of_source)" "$staged/venv"
    quietly "$staged/venv/bin/python" -m compileall -q "$staged/docker_updater.py" "$staged/updater_core" ||
        die "the program does not compile (see above)"
}

# What `--test` of a release calls wrong, one line each: the subjects of its FAIL lines, and an end without a report.
failures_of() {
    local release=$1 status=0
    as_user timeout "$test_seconds" "$release/venv/bin/python" "$release/docker_updater.py" --test \
        >"$scratch/test" 2>&1 </dev/null || status=$?
    sed -n 's/^FAIL  \(.*\)/\1/p' "$scratch/test" | sed 's/: .*//'
    [[ $status == 0 || $status == 3 ]] || printf 'it ends with status %s: %s\n' "$status" "$(tail -n 1 "$scratch/test")"
}

# As the unit would start it: nothing of this shell's environment has a say.
as_user() {
    (
        cd "$state_dir"
        exec env -i HOME="$(getent passwd "$user" | cut -d: -f6)" LANG=C.UTF-8 \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            setpriv --reuid="$user" --regid="$group" --init-groups -- "$@"
    )
}

# The new release is tried before anything leads to it. What failed with the old one too is no reason to stay with it.
try_release() {
    local old=$1
    : >"$scratch/before"
    [[ -z $old ]] || failures_of "$old" | sort -u >"$scratch/before"
    failures_of "$staged" | sort -u >"$scratch/after"
    cp "$scratch/test" "$scratch/report"
    [[ -n $old ]] || return 0
    # One that comes to no report itself (a configuration that it refuses) is not better than any.
    ! grep -q '^it ends with status' "$scratch/before" || return 0
    comm -13 "$scratch/before" "$scratch/after" >"$scratch/worse"
    [[ -s $scratch/worse ]] || return 0
    cat "$scratch/report" >&2
    die "\`$name --test\` fails with the new version where it did not before ($(paste -sd, "$scratch/worse")); \
version $(version_of "$old") stays"
}

# --- the places around it ----------------------------------------------------------------------------------------------

make_user() {
    [[ $user == "$name" ]] || return 0
    if ! getent passwd "$name" >/dev/null; then
        act "make the system user $name" useradd --system --user-group --home-dir "$state_dir" --no-create-home \
            --shell /usr/sbin/nologin --comment "$account_comment" "$name"
    fi
    if [[ $dry_run == yes ]] || ! may_use_engine "$name"; then
        act "put $name into the group docker" usermod -aG docker "$name"
    fi
}

# The service's user owns what it writes: its configuration too, for `--discover --write`. The unit shows /etc to the
# service read-only.
make_folders() {
    act "keep configuration in $config_dir, for $user" install -d -m 750 -o "$user" -g "$group" "$config_dir"
    first_config >"$scratch/updater_config.json"
    make_config "$user" "$scratch/updater_config.json" "$config_dir/updater_config.json"
    make_config root "$source_dir/.env.example" "$config_dir/.env"
    act "keep state in $state_dir, for $user" own_folder "$state_dir"
    act "keep the log in $log_dir, for $user" own_folder "$log_dir"
}

# Nothing of an example stays in use: its services do not exist, and it checks every 30 seconds.
first_config() {
    printf '{\n  "$%s": "%s",\n  "services": []\n}\n' schema "$home/current/updater_config.schema.json"
}

make_config() {
    if [[ -e $3 ]]; then
        act "keep $3" restrict "$1" "$3"
    else
        act "make $3" install -m 640 -o "$1" -g "$group" "$2" "$3"
    fi
}

restrict() {
    chown "$1:$group" "$2"
    chmod 640 "$2"
}

own_folder() {
    install -d -m 750 "$1"
    chown -R --no-dereference "$user:$group" "$1"
}

# Everything outside of /opt that belongs to a release.
put_in_place() {
    local release=$1 next
    next=$(mktemp -u "$home/.current.XXXXXX")
    ln -s "releases/$(basename "$release")" "$next"
    mv -T "$next" "$home/current"
    put_completions "$release/ops/docker-updater.completion"
    put_rotation "$release/ops/docker-updater.logrotate"
    write_command >"$scratch/command"
    install -D -m 755 "$scratch/command" "$command"
    write_unit "$release/docker-updater.service" >"$scratch/unit"
    install -D -m 644 "$scratch/unit" "$unit"
    ! has_systemd || systemctl daemon-reload
}

# For each shell whose folder is there; one that we made would be left behind.
put_completions() {
    local place shells=(bash zsh fish)
    for place in "${!completions[@]}"; do
        [[ ! -d ${completions[place]%/*} ]] || install -m 644 "$1.${shells[place]}" "${completions[place]}"
    done
}

# For logrotate, if it is in use. Its numbers are the operator's from then on; only the user is corrected.
put_rotation() {
    [[ -d ${rotation%/*} ]] || return 0
    [[ -e $rotation ]] || install -m 644 "$1" "$rotation"
    sed -i "s/^\( *su \).*/\1$user $group/" "$rotation"
}

write_unit() {
    local rights=
    [[ $user != root ]] || rights=$root_rights
    sed -e "s/^User=.*/User=$user/" -e "s/^Group=.*/Group=$group/" \
        -e "s/^CapabilityBoundingSet=.*/CapabilityBoundingSet=$rights/" "$1"
}

# The command that people and the unit start. The release is looked up once, so that a program that is running keeps to
# its own files; root becomes the service's user, so that nothing of the service's comes to belong to root.
write_command() {
    cat <<END
#!/bin/sh
# The command of the Docker Auto-Updater; made by its install.sh.
user=$user
release=\$(readlink -f $home/current) || exit 1
END
    cat <<'END'
case ${1-} in
    -h | --help | --version) ;;
    *)
        if [ "$(id -un)" != "$user" ]; then
            if [ "$(id -u)" -ne 0 ]; then
                echo "docker-updater: run it as root or as $user: sudo docker-updater $*" >&2
                exit 1
            fi
            HOME=$(getent passwd "$user" | cut -d: -f6)
            export HOME
            [ -n "${CONFIG_FILE-}" ] || cd "$HOME" || exit 1
            exec setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups -- \
                "$release/venv/bin/python" "$release/docker_updater.py" "$@"
        fi
        ;;
esac
exec "$release/venv/bin/python" "$release/docker_updater.py" "$@"
END
}

is_active() { has_systemd && systemctl is-active -q "$name"; }

restart_service() {
    systemctl reset-failed "$name" 2>/dev/null || true
    systemctl restart "$name"
}

# --- install -----------------------------------------------------------------------------------------------------------

install_all() {
    local old
    find_python
    need_docker
    [[ -z $wheels || -d $wheels ]] || die "--wheels: $wheels is no folder"
    [[ -z $wheels ]] || wheels=$(cd -- "$wheels" && pwd)
    [[ -z $(installed_user) ]] || user_before=$(installed_user)
    choose_user
    choose_requirements
    if is_active; then was_active=yes; fi
    old=$(current_release)
    staged="$home/releases/$(date -u +%Y%m%dT%H%M%S)-$$"
    say "$([[ -n $old ]] && echo "upgrade from version $(version_of "$old") to" || echo "install version") \
$(version_of "$source_dir"), as user $user, with $python"
    act "put the program into $staged" copy_program
    make_user
    if [[ $was_active == yes && $user_before != "$user" ]]; then
        act "stop the service of $user_before; an update that is under way comes to its end first" systemctl stop "$name"
    fi
    make_folders
    act "run \`$name --test\` with it" try_release "$old"
    act "make $command, $unit, $rotation and the shell completions lead to it" put_in_place "$staged"
    if [[ $was_active == yes ]]; then
        act "restart the service; an update that is under way comes to its end first" restart_or_go_back "$old"
    fi
    act "remove versions that are no longer needed" prune "$old"
    [[ $dry_run == yes ]] || close_report "$old"
}

restart_or_go_back() {
    local old=$1
    restart_service && return 0
    journalctl -u "$name" -n 20 --no-pager >&2 || true
    [[ -n $old ]] || die "the service does not start (see above)"
    go_back_to_user
    put_in_place "$old"
    restart_service || die "the service does not start, not even with the version before (see above)"
    die "the service does not start with the new version (see above); version $(version_of "$old") runs again"
}

# What belongs to the service belongs to the user before again.
go_back_to_user() {
    [[ -n $user_before && $user_before != "$user" ]] || return 0
    user=$user_before
    group=$(id -gn "$user")
    make_folders
}

# The release before stays, for whoever still runs from it.
prune() {
    local old=$1 place
    for place in "$home"/releases/*; do
        [[ $place == "$staged" || $place == "$old" ]] || rm -rf -- "$place"
    done
    prune_venvs
    staged=
}

# An environment that no release leads to, whole or half made.
prune_venvs() {
    local place used
    used=$(readlink -f "$home"/releases/*/venv)
    for place in "$home"/venvs/*; do
        grep -qxF "$place" <<<"$used" || rm -rf -- "$place"
    done
}

close_report() {
    say "version $(version_of "$home/current") is installed"
    if [[ -z $1 ]]; then
        cat <<END

Next:  sudo $name --discover --write        # finds your services, and puts them into the configuration
       sudo nano $config_dir/updater_config.json    # the configuration
       sudo nano $config_dir/.env                   # credentials and settings, if any
       sudo $name --test                            # says what is missing, and how to grant it
       sudo systemctl enable --now $name

END
    fi
    [[ -s $scratch/after ]] || return 0
    cat "$scratch/report"
    say "installed, but \`$name --test\` finds the above"
    exit 3
}

# --- uninstall ---------------------------------------------------------------------------------------------------------

uninstall() {
    user=$(installed_user)
    user=${user:-$name}
    if has_systemd && [[ -e $unit ]]; then
        act "stop the service; an update that is under way comes to its end first" stop_service
    fi
    : >"$scratch/images"
    [[ $purge == no ]] || list_images
    act "remove $unit, $command, $rotation and the shell completions" \
        rm -f "$unit" "$command" "$rotation" "${completions[@]}"
    act "remove $home" rm -rf "$home"
    if [[ $purge == yes ]]; then
        remove_traces
    else
        say "kept: $config_dir, $state_dir, $log_dir, the user, and the images for a rollback; --purge removes them"
    fi
    ! has_systemd || act "tell systemd" forget_unit
}

stop_service() { systemctl disable -q --now "$name"; }

forget_unit() {
    systemctl daemon-reload
    systemctl reset-failed "$name" 2>/dev/null || true
}

remove_traces() {
    act "remove $config_dir, $state_dir, $log_dir and $drop_ins" rm -rf "$config_dir" "$state_dir" "$log_dir" "$drop_ins"
    act "remove the local names of images that were kept for a rollback" release_images
    if is_our_user "$name"; then
        act "remove the user $name" userdel "$name"
    fi
}

# Only those of this installation: another updater may use the same engine. Names that an earlier version gave do not say
# whose they are: of those only the ones of images that this state remembers. The program beside this script is asked:
# after an --uninstall the installed one is gone, and an older one has its modules elsewhere.
list_images() {
    local pattern code=$source_dir with=$home/current/venv/bin/python
    have docker || return 0
    [[ -d $code/updater_core ]] || code=$home/current
    [[ -x $with ]] || with=$(first_python) || return 0
    PYTHONPATH=$code "$with" -B - \
        "$config_dir/updater_config.json" "$config_dir/.env" "$state_dir/updater_state.json" \
        <<'END' >"$scratch/patterns" || return 0
import contextlib, json, re, sys
from pathlib import Path
from updater_core.deploy.retention_tags import earlier_names, updater_prefix

config, env, state = map(Path, sys.argv[1:])
states = {state}
unusable = (OSError, ValueError, LookupError, TypeError, AttributeError)
with contextlib.suppress(*unusable):
    states.add(Path(json.loads(config.read_text())["state_file"]))
with contextlib.suppress(*unusable):
    found = re.findall(r"(?m)^\s*(?:export\s+)?STATE_FILE\s*=\s*[\"']?([^\s\"'#]+)", env.read_text())
    states.update(map(Path, found))
for state in states:
    with contextlib.suppress(*unusable):
        updater_id = (state.parent / "updater_id").read_text("ascii").strip()
        if re.fullmatch("[0-9a-f]{12}", updater_id):
            print(f"{updater_prefix(updater_id)}*")
    with contextlib.suppress(*unusable):
        for name, service in json.loads(state.read_text())["services"].items():
            images = [image for each in service["generations"] for image in (each, *each.get("others", ()))]
            print(*earlier_names(name, [image["image_id"] for image in images]), sep="\n")
END
    while read -r pattern; do
        [[ -z $pattern ]] || docker images --format '{{.Repository}}:{{.Tag}}' "$pattern" 2>/dev/null || true
    done <"$scratch/patterns" >"$scratch/images"
}

release_images() {
    local tag
    while read -r tag; do
        docker rmi --no-prune "$tag" >/dev/null 2>&1 || say "note: $tag could not be removed; see \`docker rmi $tag\`"
    done <"$scratch/images"
}

# --- all together ------------------------------------------------------------------------------------------------------

wrong() {
    printf 'install: %s\n' "$*" >&2
    usage >&2
    exit 2
}

read_arguments() {
    while [[ $# -gt 0 ]]; do
        case $1 in
            --user | --wheels | --python)
                [[ $# -gt 1 && -n $2 ]] || wrong "$1 needs a value"
                printf -v "${1#--}" '%s' "$2"
                shift
                ;;
            --uninstall) what=uninstall ;;
            --purge) purge=yes ;;
            --with-apprise) with_apprise=yes ;;
            --dry-run) dry_run=yes ;;
            -h | --help) usage && exit 0 ;;
            *) wrong "unknown option $1" ;;
        esac
        shift
    done
    [[ $purge == no || $what == uninstall ]] || wrong "--purge goes with --uninstall"
}

# A release that nothing leads to is of no use, and neither is what a first try has left.
clean_up() {
    if [[ -n $staged && $dry_run == no && $(current_release) != "$staged" ]]; then
        rm -rf -- "$staged"
        if [[ -n $(current_release) ]]; then prune_venvs; else rm -rf -- "$home"; fi
        go_back_to_user
        if [[ $was_active == yes ]] && ! is_active; then systemctl start "$name" || true; fi
    fi
    [[ -z $scratch ]] || rm -rf -- "$scratch"
}

# Two installers at once would mix their work.
one_at_a_time() {
    exec 9</etc
    flock -n 9 || die "another install.sh is running"
}

main() {
    read_arguments "$@"
    need_root "$@"
    one_at_a_time
    trap clean_up EXIT
    scratch=$(mktemp -d)
    if [[ $what == uninstall ]]; then uninstall; else install_all; fi
}

main "$@"
