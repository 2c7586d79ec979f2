"""The core of the Docker Auto-Updater; `docker_updater` is its door.

Five floors. Imports point down, or sideways without a circle, never up; a package counts with all that is in it. The
list is the truth: `tests/unit/test_house.py` reads it, and every import, and fails on a module that is on no floor.

1. words: `models`, `errors`, `protocols`
2. pure (no I/O, no clock): `addresses`, `reference`, `semver_utils`, `semver_range`, `tag_expression`, `tag_filter`,
   `tag_order`, `selection`, `compose_nodes`, `compose_variables`, `compose_definition`, `compose_locate`,
   `compose_edit`, `health`, `schedule`, `codec`, `foreign_json`, `config_fields`, `config_words`, `state_records`,
   `state_outcomes`, `state_notes`, `causes`, `news`, `step_times`, `status_view`, `status_facts`, `status_style`,
   `status_page`
3. effects: `rights`, `in_place`, `files`, `locks`, `config_utils`, `registry_utils`, `registries`, `docker_utils`,
   `compose_utils`, `state_utils`, `journal`, `notifiers`, `metrics_utils`, `logging_utils`, `mailbox`, `progress`,
   `systemd`, `clock`, `memory`, `status_server`
4. story: `observe`, `choose`, `drift`, `plan`; `images`, `edits`, `restart`, `gate`, `takeover`, `update`; `world`,
   `check`, `cycle`, `owner`
5. door: `wiring`, `doctor`, `report`, `watch`, `daemon`, `docker_updater`
"""

__version__ = "0.1.0"
