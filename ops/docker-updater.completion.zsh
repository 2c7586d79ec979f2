#compdef docker-updater
# zsh completion for docker-updater: its flags, and the names of services from the configuration.

local -a found
case ${words[CURRENT - 1]} in
    --service | --retry | --rollback | --update | --approve | --skip | --pause | --resume)
        # Names stand one a line or many: a service's name is the string after "name":. Unreadable: nothing is offered.
        found=(${(f)"$(grep -o '"name"[[:space:]]*:[[:space:]]*"[^"]*"' -- \
            ${CONFIG_FILE:-/etc/docker-auto-updater/updater_config.json} 2>/dev/null | sed 's/.*"\([^"]*\)"$/\1/')"})
        ;;
    *)
        found=(${(f)"$(docker-updater --help 2>/dev/null | grep -oE -- '(^|[[:space:],])--[a-z][a-z-]*' | tr -d ' ,' | sort -u)"})
        ;;
esac
compadd -a found
