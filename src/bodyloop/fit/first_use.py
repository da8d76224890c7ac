"""Whether the compiled solver has yet to be compiled on this machine, which takes numba half a minute."""

from pathlib import Path


def must_compile() -> bool:
    """Whether no compiled solver lies in numba's cache that is newer than its source."""
    from bodyloop.fit import compiled

    folder = getattr(getattr(compiled.fit_people, "stats", None), "cache_path", None)
    if not folder:
        return False  # numba is switched off
    source = Path(compiled.__file__)
    indices = Path(folder).glob(f"{source.stem}.fit_people-*.nbi")
    return not any(index.stat().st_mtime >= source.stat().st_mtime for index in indices)
