# bash completion for docker-updater: its flags, and the names of services from the configuration.
# shellcheck shell=bash

_docker_updater_services() {
    local config=${CONFIG_FILE:-/etc/docker-auto-updater/updater_config.json}
    # Names stand one a line or many: a service's name is the string after "name":. Unreadable: nothing is offered.
    grep -o '"name"[[:space:]]*:[[:space:]]*"[^"]*"' -- "$config" 2>/dev/null | sed 's/.*"\([^"]*\)"$/\1/'
}

_docker_updater() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words
    case $previous in
        --service | --retry | --rollback | --update | --approve | --skip | --pause | --resume) words=$(_docker_updater_services) ;;
        *) words=$(docker-updater --help 2>/dev/null | grep -oE -- '(^|[[:space:],])--[a-z][a-z-]*' | tr -d ' ,' | sort -u) ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -F _docker_updater docker-updater
