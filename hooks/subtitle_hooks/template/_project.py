# SPDX-License-Identifier: Apache-2.0
"""Filling in the files of a new project, and putting them on disk all or not at all."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import string
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from subtitle_hooks import OutputExistsError, OutputNotWritableError, RequestError

from ._names import ProjectNames, project_names

__all__ = ["LICENSES", "NewProject", "check_folder", "plan_project", "write_project"]

_HOOKS_VERSION = "0.1"
"""The oldest contract that has all the template uses."""

LICENSES: Mapping[str, str] = {"apache-2.0": "Apache-2.0", "mit": "MIT", "none": ""}
"""Choices of a licence, and their SPDX expressions."""


class _Template(string.Template):
    # "$" is for the CI file, a single "@" for its actions.
    delimiter = "@@"


@dataclass(frozen=True, kw_only=True)
class NewProject:
    """A project that is not on disk yet.

    Attributes:
        names: What it is called.
        folder: Where it is to be.
        files: Text by path, relative to `folder`.
    """

    names: ProjectNames
    folder: Path
    files: Mapping[Path, str]


def plan_project(name: str, folder: Path | None = None, *, author: str = "", license: str = "apache-2.0") -> NewProject:  # noqa: A002
    """Fill in all files; nothing is written.

    Args:
        name: Name of the distribution.
        folder: Folder of the project; None is a folder of that name in the working directory.
        author: Who holds the copyright; empty is "The NAME developers".
        license: One of `LICENSES`.

    Raises:
        RequestError: The name, the author or the licence will not do.
    """
    names = project_names(name)
    if license not in LICENSES:
        raise RequestError(f"there is no licence {license!r} to choose.", hint=f"Choose of {', '.join(LICENSES)}.")
    author = author.strip() or f"The {name} developers"
    if not author.isprintable():
        raise RequestError(f"the author's name {author!r} has control characters.", hint="Give it in one line.")
    expression = LICENSES[license]
    values = {
        "name": name,
        "backend": names.backend,
        "module": names.module,
        "class_name": names.class_name,
        "author": author,
        # JSON's strings are strings of TOML too, but for DEL, which is not printable.
        "author_quoted": json.dumps(author, ensure_ascii=False),
        "year": str(dt.datetime.now(tz=dt.timezone.utc).year),
        "hooks_version": _HOOKS_VERSION,
        "license_lines": f'license = "{expression}"\nlicense-files = ["LICENSE"]\n' if expression else "",
        "license_note": f"\nLicence: {expression}, see `LICENSE`." if expression else "",
    }
    sources = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        ".gitignore": "gitignore",
        f"{names.module}.py": "backend.py",
        "tests/test_contract.py": "test_contract.py",
        f"tests/test_{names.module}.py": "test_backend.py",
        ".github/workflows/tests.yml": "ci.yml",
    }
    if expression:
        sources["LICENSE"] = f"LICENSE-{expression}"
    texts = resources.files(__package__) / "files"
    files = {
        Path(target): _Template((texts / f"{source}.tmpl").read_text(encoding="utf-8")).substitute(values)
        for target, source in sources.items()
    }
    return NewProject(names=names, folder=Path(name) if folder is None else folder, files=files)


def write_project(project: NewProject) -> list[Path]:
    """Write all files, or none.

    Returns:
        The paths of the files.

    Raises:
        OutputExistsError: The folder is there and not empty.
        OutputNotWritableError: It cannot be written.
    """
    check_folder(project.folder)
    target = project.folder.absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Where the files will be, so that the last step is a rename.
        empty = target.is_dir()
        draft = Path(tempfile.mkdtemp(prefix=".new-project-", dir=target if empty else target.parent))
        try:
            for path, text in project.files.items():
                (draft / path).parent.mkdir(parents=True, exist_ok=True)
                (draft / path).write_text(text, encoding="utf-8", newline="\n")
            if empty:
                # The folder itself stays: it may be the working directory.
                for child in draft.iterdir():
                    child.rename(target / child.name)
                draft.rmdir()
            else:
                draft.chmod(0o777 & ~_umask())
                draft.rename(target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    except OSError as error:
        check_folder(project.folder)
        raise OutputNotWritableError(
            f"cannot be written ({error.strerror or error}).", path=project.folder, hint="Choose another --directory."
        ) from error
    return [project.folder / path for path in project.files]


def check_folder(folder: Path) -> None:
    """Make sure that a project can be put into a folder without touching anything that is there.

    Raises:
        OutputExistsError: There is a file of that name, or a folder that is not empty.
        OutputNotWritableError: It cannot even be looked into.
    """
    advice = "Choose another --directory, or move away what is there."
    try:
        if folder.is_dir() and not any(folder.iterdir()):
            return
        if folder.exists() or folder.is_symlink():
            what = "is there already and not empty" if folder.is_dir() else "is there already and no folder"
            raise OutputExistsError(f"{what}; nothing was written.", path=folder, hint=advice)
    except OSError as error:
        raise OutputNotWritableError(
            f"cannot be looked into ({error.strerror or error}).", path=folder, hint=advice
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
