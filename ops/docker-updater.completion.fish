# fish completion for docker-updater: its flags, and the names of services from the configuration.

function __docker_updater_services
    set -l config /etc/docker-auto-updater/updater_config.json
    set -q CONFIG_FILE; and set config $CONFIG_FILE
    # Names stand one a line or many: a service's name is the string after "name":. Unreadable: nothing is offered.
    grep -o '"name"[[:space:]]*:[[:space:]]*"[^"]*"' -- $config 2>/dev/null | sed 's/.*"\([^"]*\)"$/\1/'
end

function __docker_updater_flags
    docker-updater --help 2>/dev/null | grep -oE -- '(^|[[:space:],])--[a-z][a-z-]*' | tr -d ' ,' | sort -u
end

complete -c docker-updater -f
complete -c docker-updater -f -a '(__docker_updater_flags)'
for flag in service retry rollback update approve skip pause resume
    complete -c docker-updater -x -l $flag -a '(__docker_updater_services)'
end
