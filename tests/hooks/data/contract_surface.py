# SPDX-License-Identifier: Apache-2.0
"""Prints what plugins and hosts can see of the installed contract, as JSON; runs with any version of it."""

import dataclasses
import inspect
import json
import re

import subtitle_hooks
from subtitle_hooks import _spec


def parameters(function):
    found = {}
    for parameter in inspect.signature(function).parameters.values():
        default = (
            None
            if parameter.default is inspect.Parameter.empty
            else re.sub(" at 0x[0-9a-f]+", "", repr(parameter.default))
        )
        found[parameter.name] = [parameter.kind.name, default]
    return found


def methods(kind):
    return {
        name: parameters(value)
        for name, value in vars(kind).items()
        if inspect.isfunction(value) and (not name.startswith("_") or name == "__init__")
    }


def fields(kind):
    found = {}
    for field in dataclasses.fields(kind):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        default = repr(field.default) if field.default is not dataclasses.MISSING else "made"
        found[field.name] = None if required else default
    return found


surface = {"names": sorted(subtitle_hooks.__all__), "api_version": subtitle_hooks.API_VERSION}
surface["hooks"] = {
    name: {
        "arguments": [argument for argument in inspect.signature(hook).parameters if argument != "self"],
        "firstresult": bool(hook.subtitle_hooks_spec["firstresult"]),
        "doc": inspect.getdoc(hook),
    }
    for name, hook in vars(_spec.SubtitleSpecs).items()
    if hasattr(hook, "subtitle_hooks_spec")
}
kinds = {name: getattr(subtitle_hooks, name) for name in subtitle_hooks.__all__}
surface["messages"] = {
    name: {"fields": fields(kind), "doc": inspect.getdoc(kind)}
    for name, kind in kinds.items()
    if inspect.isclass(kind) and dataclasses.is_dataclass(kind)
}
surface["classes"] = {
    name: methods(kind)
    for name, kind in kinds.items()
    if inspect.isclass(kind) and not dataclasses.is_dataclass(kind) and not issubclass(kind, Exception)
}
surface["functions"] = {name: parameters(kind) for name, kind in kinds.items() if inspect.isfunction(kind)}
surface["errors"] = {
    name: {"code": kind.code, "parents": [parent.__name__ for parent in kind.__mro__]}
    for name, kind in kinds.items()
    if inspect.isclass(kind) and issubclass(kind, Exception)
}
print(json.dumps(surface))
