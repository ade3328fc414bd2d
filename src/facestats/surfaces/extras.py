"""Packages that facestats does not need everywhere: an error names what is missing and the line that installs it."""

from __future__ import annotations

from importlib.util import find_spec


class MissingExtraError(ModuleNotFoundError):
    """A package of an extra is not installed; the message holds the command that installs it."""


def require(extra: str, modules: tuple[str, ...], *, by: str) -> None:
    """Check that the modules of an extra can be imported, without importing them.

    Parameters
    ----------
    extra
        Name of the extra in ``pyproject.toml``.
    modules
        Names of the modules that are needed.
    by
        What needs them, such as ``the page``.

    Raises
    ------
    MissingExtraError
        If a module is missing.
    """
    for module in modules:
        if find_spec(module) is None:
            msg = f"{by} needs a package that is not installed ({module}): pip install 'facestats[{extra}]'"
            raise MissingExtraError(msg, name=module)
