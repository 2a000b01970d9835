"""Weights that a config names by their address: fetched once, then read from a folder of this machine."""

import hashlib
import http.client
import os
import shutil
import tempfile
import urllib.request
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

from ppdet_db.engine.log import logger
from ppdet_db.errors import CheckpointError

FOLDER_VARIABLE = "PPDET_DB_CACHE"
SECONDS_WITHOUT_ANSWER = 30
SUFFIX = ".pdparams"


def is_url(path: str | os.PathLike) -> bool:
    return str(path).startswith(("http://", "https://"))


def cached_file(url: str) -> Path:
    """Where the file of an address lies or will lie: `~/.cache/ppdet_db/HOST/PATH`, or below $PPDET_DB_CACHE.

    `x.pdparams?version=2` becomes `x-HASH.pdparams`: what is behind the `?` may say which file is meant, or be a
    signature that is longer than a file's name may be.
    """
    folder = Path(os.environ.get(FOLDER_VARIABLE) or Path.home() / ".cache" / "ppdet_db")
    parts = urlsplit(url)
    name = parts.path
    if parts.query and name.endswith(SUFFIX):
        name = f"{name.removesuffix(SUFFIX)}-{hashlib.sha256(parts.query.encode()).hexdigest()[:12]}{SUFFIX}"
    elif parts.query:
        name += f"?{parts.query}"
    steps = [quote(step, safe="") for step in PurePosixPath(parts.netloc, name.lstrip("/")).parts]
    return folder.joinpath(*(step for step in steps if step != ".."))


def fetch(url: str) -> Path:
    """The file of an address, downloaded where it is not there yet. A part of a file is never left in its place.

    Raises:
        CheckpointError: it cannot be downloaded; names the address and where to put the file.
    """
    try:
        file = cached_file(url)
    except ValueError as error:
        raise CheckpointError(f"{url}: is no address: {error}") from error
    if file.suffix != SUFFIX:
        raise CheckpointError(f"{url}: is no {SUFFIX} file. Fetch and unpack it, and give the {SUFFIX} file in it.")
    if os.path.isfile(file):  # not Path.is_file, which raises where a name is too long
        return file
    logger.info("downloading %s to %s", url, file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:  # of one's own: several processes may fetch it
            part = Path(folder, file.name)
            with urllib.request.urlopen(url, timeout=SECONDS_WITHOUT_ANSWER) as answer, open(part, "wb") as out:
                shutil.copyfileobj(answer, out)
                expected = answer.headers.get("Content-Length")
            if expected is not None and part.stat().st_size != int(expected):
                raise OSError(f"{part.stat().st_size} of {expected} bytes came")
            os.replace(part, file)
    except (OSError, ValueError, http.client.HTTPException) as error:  # no network, no such file, no room on the disk
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"{url}: cannot be downloaded: {reason}. Fetch it by other means and put it at {file}, or give a file of "
            "this machine, or null to start without."
        ) from error
    return file
