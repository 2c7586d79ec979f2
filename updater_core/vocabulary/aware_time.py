"""A time as it is written to a file."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

# for what is written to a file: one without its zone is refused
AwareTime = Annotated[datetime, Meta(tz=True)]
