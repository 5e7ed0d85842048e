"""From a graph to fused steps: batch norms folded, activations and sums fused, identities gone."""

from dataclasses import replace

import numpy as np

from ._graph import Node
from ._op import OPS, Step


def _fold_batch_norm(step: Step, bn: Node) -> None:
    w = bn.weights
    scale = w["weight"].astype(np.float64) / np.sqrt(w["var"].astype(np.float64) + bn.attrs["eps"])
    weight = step.weights["weight"].astype(np.float64)
    step.weights["weight"] = (weight * scale.reshape(-1, *[1] * (weight.ndim - 1))).astype(
        np.float32
    )
    bias = (step.weights["bias"].astype(np.float64) - w["mean"]) * scale + w["bias"]
    step.weights["bias"] = bias.astype(np.float32)


def without_names(nodes: tuple[Node, ...], outputs):
    """Nodes that some output needs, without identities; the outputs; what stands for what."""
    same: dict[int, int] = {}
    for n in nodes:
        same[n.index] = same[n.inputs[0]] if n.op == "identity" else n.index
    keep = {same[i] for _, i in outputs}
    needed, stack = set(), list(keep)
    while stack:
        i = stack.pop()
        if i not in needed:
            needed.add(i)
            stack += [same[k] for k in nodes[i].inputs]
    alive = [
        replace(n, inputs=tuple(same[i] for i in n.inputs))
        for n in nodes
        if n.op == "input" or (n.index in needed and n.op != "identity")
    ]
    return alive, keep, same


def fuse(nodes: list[Node], keep: set[int]) -> tuple[list[Step], dict[int, int]]:
    """Steps in order, and which value each reshaped value is. Values in ``keep`` stay visible."""
    users: dict[int, list[int]] = {n.index: [] for n in nodes}
    for n in nodes:
        for i in n.inputs:
            users[i].append(n.index)
    alias = {n.index: n.index for n in nodes}
    steps: list[Step] = []
    owner: dict[int, Step] = {}  # value -> the step that ends with it and may still grow

    def grows(value: int) -> Step | None:
        step = owner.get(value)
        return (
            step
            if step and value not in keep and len(users[value]) == 1 and step.act == "none"
            else None
        )

    for n in nodes:
        if n.op == "input":
            continue
        inputs = [alias[i] for i in n.inputs]
        if n.op == "reshape":
            alias[n.index] = inputs[0]
            continue
        if OPS[n.op].side:
            continue
        grown = None
        if n.op == "batch_norm":
            step = grows(n.inputs[0])
            same_axis = step and (step.node.rank == n.rank)
            if step and same_axis and step.residual is None and OPS[step.node.op].folds_norm:
                _fold_batch_norm(step, n)
                grown = step
        elif n.op == "act":
            step = grows(n.inputs[0])
            if step:
                step.act, step.slope = n.attrs["kind"], n.attrs["slope"]
                grown = step
        elif n.op == "binary" and n.attrs["kind"] == "add" and n.inputs[0] != n.inputs[1]:
            able = [
                s
                for s in (grows(i) for i in n.inputs)
                if s and s.residual is None and OPS[s.node.op].adds(s.node)
            ]
            if able and inputs[0] != inputs[1]:
                step = max(able, key=steps.index)
                step.residual = next(i for i in inputs if i != step.output)
                grown = step
        if grown is None:
            grown = Step(n, inputs, n.index, dict(n.weights))
            if n.op == "act":
                grown.act, grown.slope = n.attrs["kind"], n.attrs["slope"]
            steps.append(grown)
            if OPS[n.op].activates:
                owner[n.index] = grown
        else:
            owner.pop(grown.output, None)
            grown.output = n.index
            owner[n.index] = grown
            steps.remove(grown)
            steps.append(grown)  # it runs when all of its inputs are there
        grown.members.append(n.index)
    return steps, alias
