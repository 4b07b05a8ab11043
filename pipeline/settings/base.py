"""What every settings section shares."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
"""A number from 0 to 1, both included."""

Name = Annotated[str, Field(min_length=1, max_length=200)]
"""A text that is not empty."""


class Section(BaseModel):
    """A frozen group of settings; a key it does not know is an error, and so are NaN and infinity.

    Refused values stay out of tracebacks: somebody may have put a secret there.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, hide_input_in_errors=True
    )
