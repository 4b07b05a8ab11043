"""People in Label Studio.

`client` is the only door to its SDK; `project` keeps the project in shape, `payload`, `pictures` and `push` bring tasks
there, `answers` and `harvest` bring answers back, `backend` ties them to the interface that the cycle knows.
"""

from pipeline.labeling.label_studio.backend import LabelStudioBackend

__all__ = ["LabelStudioBackend"]
