"""The stylesheet, the scripts and the icons. Their addresses name their content, so browsers keep them."""

import hashlib
import mimetypes
from functools import cache
from pathlib import Path
from typing import Annotated, Final

from litestar import Controller, get
from litestar.exceptions import NotFoundException
from litestar.params import PathParameter
from litestar.response import Response
from msgspec import Struct

from engage.console.permissions import public

_HERE: Final = Path(__file__).parent
_FOLDERS: Final = (_HERE / "static", _HERE / "vendor")


class Asset(Struct, frozen=True):
    """A file with the first digits of its digest."""

    version: str
    media_type: str
    body: bytes


@cache
def _assets() -> dict[str, Asset]:
    return {file.name: _read(file) for folder in _FOLDERS for file in folder.iterdir() if file.is_file()}


def _read(file: Path) -> Asset:
    body = file.read_bytes()
    media_type, _ = mimetypes.guess_type(file.name)
    version = hashlib.blake2b(body, digest_size=6).hexdigest()
    return Asset(version, media_type or "application/octet-stream", body)


def path_of(name: str) -> str:
    """The address of a file. Raises KeyError."""
    return f"/console/assets/{_assets()[name].version}/{name}"


class AssetController(Controller):
    path = "/assets"

    @get("/{version:str}/{name:str}", opt=public())
    async def asset(
        self, version: Annotated[str, PathParameter()], name: Annotated[str, PathParameter()]
    ) -> Response[bytes]:
        found = _assets().get(name)
        if found is None or found.version != version:
            raise NotFoundException
        headers = {
            "cache-control": "public, max-age=31536000, immutable",
            "x-content-type-options": "nosniff",
            "cross-origin-resource-policy": "same-origin",
        }
        return Response(found.body, media_type=found.media_type, headers=headers)
