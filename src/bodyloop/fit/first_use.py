"""Whether the compiled solver has yet to be compiled on this machine, which takes numba half a minute."""

from pathlib import Path


def must_compile(loop: str = "fit_people") -> bool:
    """Whether no compiled loop of `bodyloop.fit.compiled` lies in numba's cache that is newer than its source.

    Args:
        loop: "fit_people", or "work_out_frames" of fits over time.
    """
    from bodyloop.fit import compiled

    folder = getattr(getattr(getattr(compiled, loop), "stats", None), "cache_path", None)
    if not folder:
        return False  # numba is switched off
    source = Path(compiled.__file__)
    indices = Path(folder).glob(f"{source.stem}.{loop}-*.nbi")
    return not any(index.stat().st_mtime >= source.stat().st_mtime for index in indices)
