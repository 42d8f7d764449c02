# SPDX-License-Identifier: Apache-2.0
"""A verified libllama: choosing one, loading it once, and saying what was found."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qwen_asr_native.errors import LibraryError, LibraryNotFoundError
from qwen_asr_native.functions import FunctionTable
from qwen_asr_native.ggml import Ggml
from qwen_asr_native.loading import open_library
from qwen_asr_native.logs import capture
from qwen_asr_native.probe import Verdict, verify
from qwen_asr_native.providers import (
    ENVIRONMENT_VARIABLE,
    EXPLICIT,
    PROVIDERS,
    Candidate,
    explicit_candidate,
    find,
)

__all__ = ["Library", "ProviderReport", "diagnose", "load_library"]

_logger = logging.getLogger("qwen_asr_native")
_loaded: dict[Path, Library] = {}
_loading = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class ProviderReport:
    """What one provider has to offer, for a ``doctor`` command.

    Attributes:
        name: Name of the distribution, or ``path`` for the environment variable.
        installed: Whether a library file was found.
        verified: Whether its struct layouts are recognised, so that it can be used.
        path: The library file.
        version: Version of the package, or what the library says about itself.
        layout: The recognised struct layouts.
        can_quantize: Whether `quantize` works with it.
        system: The instruction sets it uses, in its own words.
        reason: Why it cannot be used, or what it is good for.
        code: Stable code of the reason when it cannot be used, see `qwen_asr_native.errors`.
        chosen: Whether it is the one that `load_library` takes.
    """

    name: str
    installed: bool
    verified: bool
    path: Path | None = None
    version: str = ""
    layout: str = ""
    can_quantize: bool = False
    system: str = ""
    reason: str = ""
    code: str = ""
    chosen: bool = False

    def describe(self) -> str:
        """One line for a person: why it is taken, or why it is not."""
        if not self.verified:
            return f"not usable: {self.reason}" if self.installed else self.reason
        version = f"{self.version}, " if self.version else ""
        quantizer = ", can quantize" if self.can_quantize else ""
        taken = "in use" if self.chosen else "usable, but another one goes first"
        return f"{taken}: {version}layout {self.layout}{quantizer}, {self.path}"

    def as_dict(self) -> dict[str, str | bool | None]:
        """JSON types only."""
        return {**dataclasses.asdict(self), "path": None if self.path is None else str(self.path)}


class Library:
    """A loaded libllama whose struct layouts are verified. Made by `load_library`.

    Attributes:
        provider: Name of the distribution it came from, or ``path``.
        path: The library file.
        version: Package version and what the library says about itself, as far as known.
        layout: Name of the recognised struct layouts.
        verdict: The layouts in full.
        functions: The typed function table.
    """

    def __init__(self, candidate: Candidate, verdict: Verdict) -> None:
        self.provider = candidate.provider
        self.path = candidate.path
        self.version = " ".join(filter(None, (candidate.version, verdict.version and f"({verdict.version})")))
        self.layout = verdict.name
        self.verdict = verdict
        handle = open_library(candidate.path)
        self.functions = FunctionTable(handle, candidate.path, verdict)
        capture(handle)
        self.functions.backend_init()
        Ggml(handle, candidate.path).load_backends()

    @property
    def can_quantize(self) -> bool:
        """Whether `quantize` works with this library."""
        return self.functions.quantize is not None

    @property
    def supports_gpu(self) -> bool:
        """Whether this build can put layers on a GPU of this machine."""
        return bool(self.functions.supports_gpu())

    @property
    def title(self) -> str:
        """What to call it: package and version, or the file and its layout where no package brought it."""
        if self.provider == EXPLICIT:
            return f"{self.path.name} ({self.layout})"
        return f"{self.provider} {self.version}".rstrip()

    def describe(self) -> str:
        """One line for logs and bug reports."""
        version = f" {self.version}" if self.version else ""
        return f"{self.provider}{version}, layout {self.layout}, {self.path}"

    def __repr__(self) -> str:
        return f"<Library {self.describe()}>"


def load_library(
    provider: str | os.PathLike[str] | None = None, *, cache_dir: str | os.PathLike[str] | None = None
) -> Library:
    """Find, verify and load libllama; loading the same file again returns the same object.

    Without ``provider``, the environment variable ``QWEN_ASR_LIBLLAMA`` decides when it is set. Otherwise the packages
    of `PROVIDERS` are tried in order, and the first whose library is verified is used.

    Args:
        provider: A distribution (``ik-llama-cpp-python``, ``xllamacpp``, ``llama-cpp-python``), or the path of a
            library file or of a folder that holds one. Whoever names one gets that one or an error, never another.
        cache_dir: Folder in which to remember the verification (a fraction of a second) between processes. Nothing is
            written without it.

    Raises:
        LibraryNotFoundError: No provider has a usable library; lists each one with the reason.
        DependencyError: A library that the named one needs is missing.
        LibraryLoadError: The named library cannot be loaded by the system.
        LibraryCrashedError: The named library killed the process that examined it.
        LayoutError: The structs of the named library are not laid out as any known build's.
        MissingSymbolError: The named library lacks a function.
    """
    cache = None if cache_dir is None else Path(cache_dir)
    chosen = _chosen(provider)
    if chosen is not None:
        return _open(chosen, cache)
    reasons = []
    for known in PROVIDERS:
        try:
            library = _open(find(known), cache)
        except LibraryError as error:
            level = logging.DEBUG if isinstance(error, LibraryNotFoundError) else logging.WARNING
            _logger.log(level, "%s not used: %s", known.name, error)
            reasons.append(f"{known.name}: {error}")
            continue
        _logger.debug("using %s", library.describe())
        return library
    listing = "\n".join(f"  - {reason}" for reason in reasons)
    raise LibraryNotFoundError(
        f"No usable libllama. Tried, in this order:\n"
        f"  - {ENVIRONMENT_VARIABLE}: not set\n{listing}\n"
        f"Install one, for example: pip install ik-llama-cpp-python (or xllamacpp); build one with: qwen-asr-plugin "
        f"native build; or point {ENVIRONMENT_VARIABLE} at a libllama."
    )


def diagnose(provider: str | os.PathLike[str] | None = None) -> list[ProviderReport]:
    """Examine every provider in the order `load_library` would try them, without loading any library here.

    Args:
        provider: As for `load_library`; what it names comes first.
    """
    named = provider or os.environ.get(ENVIRONMENT_VARIABLE)
    origin = "the argument" if provider else ENVIRONMENT_VARIABLE
    order = sorted(PROVIDERS, key=lambda known: known.name != named)
    reports = [_report(known.name, functools.partial(find, known), known.why) for known in order]
    if named and all(known.name != named for known in PROVIDERS):
        reports.insert(0, _report(EXPLICIT, functools.partial(explicit_candidate, named, origin), f"named by {origin}"))
    candidates = reports[:1] if named else reports  # whoever names one gets that one or an error
    chosen = next((report for report in candidates if report.verified), None)
    return [dataclasses.replace(report, chosen=report is chosen) for report in reports]


def _report(name: str, search: Callable[[], Candidate], good_for: str) -> ProviderReport:
    try:
        candidate = search()
    except LibraryNotFoundError as error:
        return ProviderReport(name=name, installed=False, verified=False, reason=str(error), code=error.code)
    try:
        verdict = verify(candidate.path)
    except LibraryError as error:
        return ProviderReport(
            name=name,
            installed=True,
            verified=False,
            path=candidate.path,
            version=candidate.version,
            reason=str(error),
            code=error.code,
        )
    return ProviderReport(
        name=name,
        installed=True,
        verified=True,
        path=candidate.path,
        version=candidate.version or verdict.version,
        layout=verdict.name,
        can_quantize=verdict.quantize_params is not None,
        system=verdict.system,
        reason=good_for,
    )


def _chosen(provider: str | os.PathLike[str] | None) -> Candidate | None:
    """What the user named, None when the choice is ours."""
    origin = "the argument"
    if provider is None:
        provider, origin = os.environ.get(ENVIRONMENT_VARIABLE) or None, ENVIRONMENT_VARIABLE
        if provider is None:
            return None
    for known in PROVIDERS:
        if provider == known.name:
            try:
                return find(known)
            except LibraryNotFoundError as error:
                raise LibraryNotFoundError(f"{known.name}: {error}. {known.advice}") from error
    if isinstance(provider, str) and not Path(provider).exists() and not set(provider) & set("/\\."):
        names = ", ".join(known.name for known in PROVIDERS)
        raise LibraryNotFoundError(f"{provider!r}, named by {origin}, is neither a path nor a provider ({names}).")
    return explicit_candidate(provider, origin)


def _open(candidate: Candidate, cache: Path | None) -> Library:
    with _loading:
        if candidate.path not in _loaded:
            _loaded[candidate.path] = Library(candidate, verify(candidate.path, cache_dir=cache))
        return _loaded[candidate.path]
