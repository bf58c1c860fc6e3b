"""libfaketime, which shows a process another time than its machine has. The monotonic clock runs on."""

from pathlib import Path

LIBRARIES = ("usr/lib/*/faketime/libfaketime.so.1", "usr/lib/faketime/libfaketime.so.1")


def library() -> str | None:
    """Return the library's path, or None where it is not installed."""
    return next((str(found) for pattern in LIBRARIES for found in Path("/").glob(pattern)), None)


def environment(file: Path) -> dict[str, str]:
    """Return the variables under which a process reads its machine's clock as the file says."""
    found = library()
    if found is None:
        return {}
    set_offset(file, 0)
    return {
        "LD_PRELOAD": found,
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": "1",  # Seconds until it looks at the file again.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def set_offset(file: Path, ahead_s: float) -> None:
    """Replace the file: the process reads it at any moment."""
    draft = file.with_suffix(".new")
    draft.write_text(f"{ahead_s:+.0f}\n")
    draft.replace(file)
