"""The protocols of other platforms, one module each: how they write rows and read answers."""

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """The version of this library; inside a Bento, which holds it as plain files, that is not known."""
    try:
        return version("slipstream")
    except PackageNotFoundError:
        return "0"


VERSION = own_version()
