"""What all groups of options share."""

import difflib
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

Fraction = Annotated[float, Field(ge=0, le=1)]
# A count or a share: below 1 it is a fraction of the samples, from 1 on a number of samples.
Share = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]


def one_of(table: dict[str, Any], what: str) -> AfterValidator:
    """Accepts the names in a table of the catalogue."""

    def check(name: str) -> str:
        if name not in table:
            near = difflib.get_close_matches(name, table, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(table)}"
            raise PydanticCustomError("unknown_name", "{why}", {"why": f"no {what} `{name}`; {hint}"})
        return name

    return AfterValidator(check)


class Section(BaseModel):
    """A group of options. Unknown keys are refused; values are checked again when set."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, allow_inf_nan=False)
