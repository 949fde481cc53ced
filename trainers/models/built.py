"""A network that is ready to be trained, and its layer groups."""

from dataclasses import dataclass

from torch import nn

from trainers.models.gan import GanNetworks

# A network of so few parts, such as VGG's `features` and `classifier`, keeps its layers inside them.
FEW_PARTS = 3
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
NORMS = (*BATCH_NORMS, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.LayerNorm, nn.GroupNorm)
Groups = tuple[tuple[str, ...], ...]  # names of modules that hold parameters, by layer group, first to last


@dataclass(frozen=True)
class Built:
    """A network and what is known of its layers.

    Attributes:
        module: the network.
        head: name of its last layer.
        missing: names of the parameters and buffers that its weights file did not have.
        groups: layer groups, first to last, as names of modules that hold parameters; the head is in the last.
    """

    module: nn.Module
    head: str
    missing: tuple[str, ...]
    groups: Groups


def layer_groups(network: nn.Module) -> Groups:
    """The parts of a network that may be frozen or given learning rates of their own, first to last.

    They are its top-level parts; where it has few, those that are a Sequential or a list are opened one level. A norm
    layer belongs to the group before it. A GAN has two, its generator and its discriminator.
    """
    parts = _with_parameters("", network)
    if len(parts) <= FEW_PARTS and not isinstance(network, GanNetworks):
        parts = [
            inner
            for name, part in parts
            for inner in (
                _with_parameters(f"{name}.", part)
                if isinstance(part, nn.Sequential | nn.ModuleList)
                else [(name, part)]
            )
        ]
    groups: list[tuple[str, ...]] = []
    for name, part in parts:
        if isinstance(part, NORMS) and groups:
            groups[-1] += (name,)
        else:
            groups.append((name,))
    return tuple(groups)


def group_of(name: str, groups: Groups) -> int | None:
    """Place among the groups of the one that a module or parameter belongs to; None if it belongs to none."""
    return next((place for place, group in enumerate(groups) if any(is_within(name, part) for part in group)), None)


def is_within(name: str, part: str) -> bool:
    """Whether a module or parameter is that module or a part of it."""
    return name == part or name.startswith(f"{part}.")


def _with_parameters(prefix: str, module: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(f"{prefix}{name}", part) for name, part in module.named_children() if any(True for _ in part.parameters())]
