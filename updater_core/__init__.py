"""The core of the Docker Auto-Updater; `docker_updater.py` is its door.

Floors, imports point down only (`tests/unit/test_house.py` reads them and fails on an upward edge or a circle):

1. words      `models`, `errors`, `protocols`
2. pure       `reference`, `semver_utils`, `selection`, `compose_edit`, `health`, `schedule`
3. effects    `config_utils`, `files`, `registry_utils`, `registries`, `docker_utils`, `compose_utils`, `state_utils`,
              `journal`, `notifiers`, `metrics_utils`, `logging_utils`
4. story      `steps`, `update`, `observe`, `cycle`
5. door       `docker_updater.py` with `doctor` (`--test`) and `report` (`--plan`, `--status`)
"""

__version__ = "0.1.0"
