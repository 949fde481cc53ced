"""How large a network is, and the table of its layers."""

from dataclasses import dataclass

from trainers.data import Shape

FLOAT = 4  # bytes
COLUMNS = "<<<>><>"  # of the table: words to the left, numbers to the right


@dataclass(frozen=True)
class Layer:
    """One layer of a network.

    Attributes:
        name: as in the options that name layers.
        kind: its class.
        output: shape of what it puts out for one sample.
        parameters: how many it has.
        trained: how many of these are trained.
        multiply_adds: multiplications with addition for one sample.
        group: number, from 1, of its layer group, as `model.freeze_groups` counts them; None if it is in none.
    """

    name: str
    kind: str
    output: Shape
    parameters: int
    trained: int
    multiply_adds: int
    group: int | None = None


@dataclass(frozen=True)
class Size:
    """How large a network is.

    Attributes:
        parameters: how many it has.
        trained: how many of these are trained, to begin with.
        activations: numbers that it computes for one sample.
        kept: how many of these are kept for the gradients: from the first trained layer on.
        layers: in the order in which they run. Layers whose weights are used without calling them, such as those
            inside attention, are not among them.
        unfrozen: whether all of it is trained in the end.
        elsewhere: multiplications with addition for one sample that none of `layers` does, such as attention's.
    """

    parameters: int
    trained: int
    activations: int
    kept: int
    layers: tuple[Layer, ...]
    unfrozen: bool = False
    elsewhere: int = 0

    @property
    def multiply_adds(self) -> int:
        """Multiplications with addition for one sample, in products of matrices, convolutions and attention."""
        return sum(layer.multiply_adds for layer in self.layers) + self.elsewhere

    def training_bytes(self, micro_batch: int, optimizer: str, momentum: float) -> int:
        """Roughly what one worker needs in float32: weights, gradients, the optimiser's state, activations.

        Neither the data nor the temporary buffers of convolutions are counted. Where layers are unfrozen in the course
        of training, it is what they need at the end.
        """
        averages = int(momentum > 0)
        states = {"sgd": averages, "rmsprop": 1 + averages, "adagrad": 1, "adam": 2, "adamw": 2}[optimizer]
        trained, kept = (self.parameters, self.activations) if self.unfrozen else (self.trained, self.kept)
        return FLOAT * (self.parameters + (1 + states) * trained + kept * micro_batch)


def summary_table(size: Size) -> str:
    """The layers as a table in aligned columns, in the order in which they run, and the totals.

    What is not in a listed layer, such as the weights inside attention, is in the row `other`.
    """
    rows = [("layer", "kind", "output", "group", "parameters", "state", "multiply-adds")]
    for layer in size.layers:
        output, group = "×".join(map(str, layer.output)), str(layer.group or "") if layer.parameters else ""
        numbers = _numbers(layer.parameters, layer.trained, layer.multiply_adds)
        rows.append((layer.name, layer.kind, output, group, *numbers))
    other = size.parameters - sum(layer.parameters for layer in size.layers)
    if other or size.elsewhere:
        trained = size.trained - sum(layer.trained for layer in size.layers)
        rows.append(("other", "", "", "", *_numbers(other, trained, size.elsewhere)))
    rows.append(("total", "", "", "", *_numbers(size.parameters, size.trained, size.multiply_adds)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    style = "  ".join(f"{{:{side}{width}}}" for side, width in zip(COLUMNS, widths, strict=True))
    return "\n".join(style.format(*row).rstrip() for row in rows)


def _numbers(parameters: int, trained: int, multiply_adds: int) -> tuple[str, str, str]:
    state = "trained" if trained == parameters else "frozen" if not trained else f"{trained:,} trained"
    work = f"{multiply_adds:,}" if multiply_adds else ""
    return (f"{parameters:,}", state, work) if parameters else ("", "", work)
