"""Cuts a network into the layers that stand still while it is trained and the rest, so that the first run only once."""

import inspect
from collections.abc import Callable

import torch
from torch import fx, nn

from trainers.data import Shape
from trainers.models.built import Built
from trainers.models.freezing import train_mode


class FeatureExtractor(nn.Module):
    """The leading layers of a network, which stand still: samples [n, *shape] to features, rows [n, D].

    Attributes:
        layers: those layers, the network's own.
    """

    def __init__(self, layers: fx.GraphModule) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Samples [n, *shape] to features [n, D]."""
        features: torch.Tensor = self.layers(samples)
        # Maps are laid down in channels-last order, in which they are computed, so that the rest need not turn them.
        return (features.permute(0, 2, 3, 1) if features.ndim == 4 else features).flatten(1)


class Tail(nn.Module):
    """A network from the cut on: features [n, D] to its outputs.

    It *is* the network but for where it begins: its layers, parameters and buffers and their names are the network's
    own, also those before the cut, so that to train, copy or save the one is to train, copy or save the other.

    Args:
        network: the whole.
        forward: the part after the cut, a function of the network and of the features [n, *shape].
        shape: of one sample's features at the cut.
    """

    def __init__(
        self, network: nn.Module, forward: Callable[[nn.Module, torch.Tensor], torch.Tensor], shape: Shape
    ) -> None:
        super().__init__()
        saved = network.state_dict()
        for name, layer in network.named_children():
            self.add_module(name, layer)
        for name, parameter in network.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, buffer in network.named_buffers(recurse=False):
            self.register_buffer(name, buffer, persistent=name in saved)
        self._forward, self.shape = forward, shape
        self.training = network.training

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Features [n, D] to the network's outputs."""
        # Copied, since the first layer may change what it is given (dropout with inplace=True).
        if len(self.shape) == 3:
            channels, height, width = self.shape
            features = rows.clone().view(-1, height, width, channels).permute(0, 3, 1, 2)
        else:
            features = rows.clone().view(-1, *self.shape)
        return self._forward(self, features)


def cut(built: Built, shape: Shape) -> tuple[FeatureExtractor, Tail] | None:
    """Cuts a network after the largest leading part that stands still while it is trained.

    `tail(extractor(samples))` is what the network makes of samples, as it is trained (`train_mode`) and in eval mode,
    in which the network is afterwards.

    torchvision's create_feature_extractor gives the leading part alone, and is told by name where to cut.

    Args:
        built: the network, its layers frozen as they will be.
        shape: of one sample.

    Returns:
        None where no layer with parameters comes before all that is trained or random, where more than one tensor
        would cross every cut, or where the network's graph cannot be told by tracing.
    """
    network = built.module
    train_mode(built)
    graph = _trace(network)
    last = None if graph is None else _last_still(network, graph)
    network.eval()
    # What depends on the mode outside of layers, such as functional dropout, would be fixed as it was traced.
    if graph is None or last is None or str(graph) != str(_trace(network)):
        return None
    before, after = _halves(graph, last)
    extractor = FeatureExtractor(fx.GraphModule(network, before))
    device = next(network.parameters()).device
    with torch.inference_mode():
        features = extractor.layers(torch.zeros(1, *shape, device=device))
    if not isinstance(features, torch.Tensor) or len(features) != 1:
        return None
    return extractor, Tail(network, type(fx.GraphModule(network, after)).forward, tuple(features.shape[1:]))


class _Tracer(fx.Tracer):
    """Looks into modules in which a part is frozen and a part trained; all others are called whole."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        """Whether a module is called and not looked into."""
        mixed = len({parameter.requires_grad for parameter in module.parameters()}) == 2
        return not mixed or super().is_leaf_module(module, name)


def _trace(network: nn.Module) -> fx.Graph | None:
    """The calls that a network makes; None where they depend on more than the network."""
    try:
        graph = _Tracer().trace(network)
    except Exception:  # whatever a network's code does with a tensor that is none
        return None
    own = {name for name, _ in (*network.named_parameters(), *network.named_buffers())}
    constants = any(node.op == "get_attr" and node.target not in own for node in graph.nodes)
    return None if constants else graph


def _last_still(network: nn.Module, graph: fx.Graph) -> fx.Node | None:
    """The last node whose value is all that the nodes after it need, if everything up to there stands still."""
    last, seen, weighty = None, set[fx.Node](), False
    for node in graph.nodes:
        if node.op == "output" or not _stands_still(network, node):
            break
        seen.add(node)
        weighty |= bool(_parameters(network, node))
        crossing = {one for one in seen if one.op != "get_attr" and not seen.issuperset(one.users)}
        if weighty and crossing == {node}:
            last = node
    return last


def _stands_still(network: nn.Module, node: fx.Node) -> bool:
    """Whether what a node does never changes: nothing of it is trained or, in training, random or counted."""
    if any(parameter.requires_grad for parameter in _parameters(network, node)):
        return False
    parts = network.get_submodule(str(node.target)).modules() if node.op == "call_module" else ()
    return not any(part.training and _minds_mode(part) for part in parts)


def _parameters(network: nn.Module, node: fx.Node) -> list[nn.Parameter]:
    if node.op == "call_module":
        return list(network.get_submodule(str(node.target)).parameters())
    if node.op == "get_attr":  # one that a module uses itself, such as a class token
        return [parameter for name, parameter in network.named_parameters() if name == node.target]
    return []


def _minds_mode(part: nn.Module) -> bool:
    """Whether a layer may do something else in training: whether the code of its class looks at `training`.

    Told by the names that Python documents of compiled code (`co_names`): a list of classes would miss the user's own.
    """
    methods = (method for kind in type(part).__mro__ if kind not in nn.Module.__mro__ for method in vars(kind).values())
    return any(inspect.isfunction(method) and "training" in method.__code__.co_names for method in methods)


def _halves(graph: fx.Graph, last: fx.Node) -> tuple[fx.Graph, fx.Graph]:
    """The graph up to a node, and the one after it, whose input is the node's value."""
    nodes = list(graph.nodes)
    place = nodes.index(last) + 1
    before, after = fx.Graph(), fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in nodes[:place]:
        copies[node] = before.node_copy(node, copies.__getitem__)
    before.output(copies[last])
    features = after.placeholder("features")
    copies = {node: features for node in nodes[:place] if node.op != "get_attr"}  # of which only the last is used again
    after.output(after.graph_copy(graph, copies))
    return before, after
