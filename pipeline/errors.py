"""The faults this project raises on purpose, each with the next step to take in its message."""


class PipelineError(Exception):
    """Root of every fault that is about data, artefacts or remote services rather than about an argument."""


class AnotherWaits(PipelineError):
    """A run of the same kind waits for the workspace already; this one is not needed."""


class SettingsError(PipelineError):
    """A settings file that cannot be used: unknown key, value out of bounds, missing file."""


class DataError(PipelineError):
    """Annotations or images that cannot be imported: unknown label, box outside the image, missing file."""


class ImageFault(DataError):
    """One image that cannot be read.

    Callers quarantine the image and go on.

    Attributes:
        uri: The image.
        reason: What is wrong with it, in words for a person.
        image_id: SHA-256 of its bytes, None where there are no bytes (no such file, no permission).
    """

    def __init__(self, uri: str, reason: str, image_id: str | None = None) -> None:
        super().__init__(f"{uri}: {reason}")
        self.uri = uri
        self.reason = reason
        self.image_id = image_id


class ArtefactError(PipelineError):
    """An artefact of an earlier stage that is missing, damaged or belongs to another model or settings."""


class RowsGoneError(ArtefactError):
    """A dataset version whose rows were removed to make room; the history still names it."""


class RemoteError(PipelineError):
    """A remote service (Label Studio, object storage) that is down or refuses a request."""


class UncertainError(RemoteError):
    """A request whose reply was lost when the service had ended it, done or not: look before asking again."""


class LeakError(PipelineError):
    """An attempt to look at labels that the caller may not see."""
