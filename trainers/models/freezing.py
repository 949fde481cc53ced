"""Which layers are trained, and that those which are not stand still."""

from torch import nn

from trainers.errors import RequestError
from trainers.experiment import Model
from trainers.models.built import Built, Groups, group_of, is_within, layer_groups
from trainers.models.changes import check_layer


def freeze(built: Built, model: Model, stage: int = 0) -> None:
    """Sets which parameters have gradients, by the options and by how many of `model.unfreeze` have come.

    Each stage trains one more of the layer groups in which something is frozen, from the last to the first; the last
    stage trains everything.

    Raises RequestError: a layer to be frozen is not there, or nothing would be trained.
    """
    for name in model.freeze:
        check_layer(built.module, name, "model.freeze")
    groups = _by_group(built.module, built.groups)
    frozen = {
        name
        for number, group in enumerate(groups)
        for name in group
        if number < model.freeze_groups
        or (model.train == "head" and not is_within(name, built.head))
        or any(is_within(name, layer) for layer in model.freeze)
    }
    if stage:
        held = [group for group in groups if frozen.intersection(group)]
        left = held[:-stage] if stage < len(model.unfreeze) else []
        frozen &= {name for group in left for name in group}
    for name, parameter in built.module.named_parameters():
        parameter.requires_grad_(name not in frozen)
    if not any(parameter.requires_grad for parameter in built.module.parameters()):
        raise RequestError(
            f"model.freeze: nothing is left to train; freeze less (the network has {len(groups)} layer groups)"
        )


def stage_at(model: Model, epoch0: int) -> int:
    """How many of `model.unfreeze` have come at the beginning of an epoch, which is counted from 0."""
    return sum(epoch <= epoch0 + 1 for epoch in model.unfreeze)


def train_mode(built: Built) -> None:
    """Switches to training, but what is frozen stays in eval mode, so that its BatchNorm and dropout stand still.

    A layer without parameters, such as dropout, follows the next layer in the same parent that has some: dropout before
    a trained head is on. Where none comes after it, it follows its parent.
    """
    built.module.train()
    _hold_still(built.module)


def parameter_groups(built: Built) -> list[list[nn.Parameter]]:
    """The parameters that are trained, by layer group, first to last; a group that is all frozen is empty."""
    return _trained(built.module, built.groups)


def parameter_groups_of(module: nn.Module) -> list[list[nn.Parameter]]:
    """The same of any module, such as one half of a GAN, by layer groups of its own."""
    return _trained(module, layer_groups(module))


def _trained(module: nn.Module, groups: Groups) -> list[list[nn.Parameter]]:
    by_name = dict(module.named_parameters())
    return [[by_name[name] for name in group if by_name[name].requires_grad] for group in _by_group(module, groups)]


def _by_group(module: nn.Module, groups: Groups) -> list[list[str]]:
    """Names of parameters by layer group. Those of no layer (a transformer's class token) are in the first."""
    names: list[list[str]] = [[] for _ in groups]
    for name, _ in module.named_parameters():
        names[group_of(name, groups) or 0].append(name)
    return names


def _hold_still(parent: nn.Module) -> None:
    """Puts what is frozen below a module that is trained into eval mode."""
    trained = True  # as the parent is, for what comes after its last layer with parameters
    for part in reversed(list(parent.children())):
        parameters = list(part.parameters())
        if parameters:
            trained = any(parameter.requires_grad for parameter in parameters)
        if not trained:
            part.eval()
        elif parameters:
            _hold_still(part)
