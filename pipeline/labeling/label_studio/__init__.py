"""People in Label Studio.

`client` is the only door to its SDK; `page` says what people see and `project` keeps it so; `payload`, `images` and
`push` bring tasks there, `answers` and `harvest` bring answers back, `backend` ties them to the interface that a cycle
knows.
"""

from pipeline.labeling.label_studio.backend import LabelStudioBackend
from pipeline.labeling.label_studio.client import Client

__all__ = ["Client", "LabelStudioBackend"]
