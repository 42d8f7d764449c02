# SPDX-License-Identifier: Apache-2.0
"""One name, and what follows from it: distribution, backend, module and class."""

from __future__ import annotations

import keyword
import re
import sys
from dataclasses import dataclass

from subtitle_hooks import RequestError

__all__ = ["ProjectNames", "project_names"]

# PEP 508: letters, digits, and - _ . in between.
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_LONGEST = 100
_TAKEN = {"conftest", "pluggy", "pytest", "srt", "subtitle_hooks", "test", "tests"}


@dataclass(frozen=True, kw_only=True)
class ProjectNames:
    """Names of a project.

    Attributes:
        distribution: What pip installs, as the user wrote it.
        backend: What users of hosts type: lower case, single hyphens.
        module: What Python imports.
        class_name: Of its test class, without ``Test``.
    """

    distribution: str
    backend: str
    module: str
    class_name: str


def project_names(name: str) -> ProjectNames:
    """Derive all names from that of the distribution.

    Raises:
        RequestError: It is no name of a distribution (PEP 508), or makes no name of a module.
    """
    if not _DISTRIBUTION.fullmatch(name) or len(name) > _LONGEST:
        raise RequestError(
            f"{name!r} cannot be the name of a distribution.",
            hint=f"Use up to {_LONGEST} ASCII letters, digits, and - _ . between them, for example my-subtitles.",
        )
    backend = re.sub(r"[-_.]+", "-", name).lower()
    module = backend.replace("-", "_")
    problem = ""
    if not module.isidentifier():
        problem = "is no Python identifier"
    elif keyword.iskeyword(module):
        problem = "is a keyword of Python"
    elif module in sys.stdlib_module_names:
        problem = "is a module of Python's standard library"
    elif module in _TAKEN or module.startswith("test_"):
        problem = "is taken by a package that the project needs, or by its tests"
    if problem:
        raise RequestError(
            f"{name!r} makes a module called {module!r}, which {problem}.",
            hint=f"Choose another name, for example {_better(backend)}.",
        )
    class_name = "".join(part.capitalize() for part in backend.split("-"))
    return ProjectNames(distribution=name, backend=backend, module=module, class_name=class_name)


def _better(backend: str) -> str:
    stem = backend.removeprefix("test-").lstrip("0123456789-") or "my"
    return f"{stem}-subtitles"
