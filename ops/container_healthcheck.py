"""The container's health check: asks /healthz of the updater in this container. Ends with 0 if it is well."""

import os
import sys
import urllib.request

ADDRESS = f"http://127.0.0.1:{os.environ.get('METRICS_PORT', '9180')}/healthz"

try:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(ADDRESS, timeout=8) as answer:
        print(answer.read(500).decode("utf-8", "replace").strip())
except OSError as error:  # no answer, and every status of 400 or more
    sys.exit(f"{ADDRESS}: {error}")
