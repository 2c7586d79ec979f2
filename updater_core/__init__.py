"""The core of the Docker Auto-Updater; `docker_updater` is its entry point.

Layers, lowest first. A package, or a module of this folder, imports only what stands above it in this list,
or on its own line if that stands to its left. The list is the truth: `tests/unit/test_architecture.py` reads
it.

1. words: `vocabulary`, `models`, `errors`, `protocols`
2. ground: `caching`, `host`, `net`, `reference`, `logging_utils`
3. pure: `semver_utils`, `policy`, `composefile`
4. facts: `registry_utils`, `registries`, `docker_utils`, `swarm_utils`, `compose_utils`, `state`
5. rules of a deployment: `state_utils`, `deploy`, `metrics_utils`
6. ends: `targets`, `notifiers`, `status`
7. every option: `config`, `config_utils`
8. program: `app`, `docker_updater`
"""

import sys
import warnings

__version__ = "0.1.0"

# requests would load a detector of character sets, 3 MB that stay resident: it guesses how a text without a
# charset is encoded, and nothing here reads such a text. It does without, with a warning for those who miss
# it.
sys.modules.setdefault("charset_normalizer", None)  # type: ignore[arg-type]
warnings.filterwarnings("ignore", message="Unable to find acceptable character detection")
