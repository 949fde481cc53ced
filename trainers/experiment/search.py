"""Options of a sweep."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from trainers.experiment.section import Count, Section

Number = int | float
EXPONENT = re.compile(r"[-+]?\d+[eE][-+]?\d+")


class Distribution(Section):
    """Where an option's values are drawn from: exactly one of these.

    `grid` is gone through in full, every value with every other grid's; the others are drawn anew for each trial.
    """

    choice: list[Any] | None = Field(None, min_length=1)
    grid: list[Any] | None = Field(None, min_length=1)
    uniform: tuple[Number, Number] | None = None
    loguniform: tuple[Number, Number] | None = None
    randint: tuple[int, int] | None = Field(None, description="both ends are among the values")

    @field_validator("choice", "grid")
    @classmethod
    def _are_numbers(cls, values: list[Any] | None) -> list[Any] | None:
        """YAML takes 1e-4 for a text: a number has a point there."""
        return values and [
            float(value) if isinstance(value, str) and EXPONENT.fullmatch(value) else value for value in values
        ]

    @model_serializer(mode="wrap")
    def _only_what_is_given(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: values for name, values in serialize(self).items() if values is not None}

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [name for name, value in self if value is not None]
        if len(given) != 1:
            raise ValueError(f"give one of {', '.join(type(self).model_fields)}, such as {{loguniform: [1e-4, 1]}}")
        ends = self.uniform or self.loguniform or self.randint
        if ends is not None and not ends[0] < ends[1]:
            raise ValueError(f"{given[0]}: {ends[0]:g} is not below {ends[1]:g}")
        if self.loguniform is not None and self.loguniform[0] <= 0:
            raise ValueError("loguniform: must begin above 0")
        return self


class Search(Section):
    """What `tune` searches, and how."""

    space: dict[str, Distribution] = Field(
        {},
        description="options by their paths, each with choice, grid, uniform, loguniform or randint: "
        "{optimizer.lr: {loguniform: [1e-4, 1]}}",
    )
    trials: Count | None = Field(
        None, description="how many are run; unset, 20, or where all of the space is grids, every combination once"
    )
    minutes: Annotated[float, Field(gt=0)] | None = Field(None, description="stop after so many; unset, never")
    metric: str = Field("auto", description="the validation metric by which trials are compared; auto: training.best")
    mode: Literal["auto", "max", "min"] = Field("auto", description="whether more or less of it is better")
    scheduler: Literal["asha", "none", "median", "pbt"] = Field(
        "asha",
        description="which trials are stopped early: asha (the worse ones at each rung), median (those below the "
        "median), none; pbt: trials take over the weights and, changed, the options of better ones",
    )
    searcher: Literal["random", "optuna", "decades"] = Field(
        "random",
        description="how values are chosen: random; optuna (TPE); decades: powers of ten first, then finer steps "
        "around the best",
    )
    grace: Count = Field(1, description="epochs that every trial may have before it is stopped")
    reduction: Annotated[int, Field(ge=2)] = Field(3, description="asha: one of so many goes on at each rung")
    concurrent: Count | None = Field(None, description="trials at a time; unset, as many as fit")
