"""What the layers of a traced module are called: the paths of its modules."""

import operator
from typing import Any


def labels(graph: Any) -> tuple[dict[Any, str], dict[Any, list[str]]]:
    """A label for every call of a traced graph, and the further names of some.

    The value that leaves a module is called by the module's path (``layer1.0``, or ``layer1.0:1``
    when the module is called a second time); what is computed on the way, by the path and the op
    (``layer1.0.add``). A value that leaves several modules at once has the innermost path as label,
    the others as further names.
    """
    calls = [n for n in graph.nodes if n.op == "call_function"]
    inside: dict[str, list] = {}
    paths: dict[str, str] = {}
    times: dict[str, int] = {}
    for n in calls:
        for key, (path, _) in (n.meta.get("nn_module_stack") or {}).items():
            if not path:
                continue
            path = path.split("@")[0]
            if key not in paths:
                times[path] = times.get(path, -1) + 1
                paths[key] = f"{path}:{times[path]}" if times[path] else path
            inside.setdefault(key, []).append(n)
    leaves: dict[Any, list[str]] = {}
    for key, members in inside.items():
        out = _result(members)
        if out is not None:
            leaves.setdefault(out, []).append(paths[key])
    taken: set[str] = {p for names in leaves.values() for p in names}
    label, aliases = {}, {}
    for n in calls:
        if n in leaves:
            *aliases[n], label[n] = leaves[n]
            continue
        stack = list(n.meta.get("nn_module_stack") or {})
        path = paths.get(stack[-1], "") if stack else ""
        op = getattr(n.target, "__name__", "op").split(".")[0].strip("_")
        label[n] = unique(f"{path}.{op}" if path else op, taken)
        taken.add(label[n])
    return label, aliases


def _result(members: list) -> Any:
    """The one value that others read, or the first part of the one node whose parts they read."""
    own = set(members)
    out = [n for n in members if any(u not in own for u in n.users)]
    if len(out) == 1:
        return out[0]
    parts = [n for n in out if n.target is operator.getitem]
    if parts and len(parts) == len(out) and len({n.args[0] for n in parts}) == 1:
        return min(parts, key=lambda n: n.args[1])
    return None


def unique(name: str, taken: Any) -> str:
    """``name``, or ``name_1``, ``name_2``, ... where it is taken."""
    out, k = name, 0
    while out in taken:
        k += 1
        out = f"{name}_{k}"
    return out
