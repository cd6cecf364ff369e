"""Fetch a whole run with this project's storage: the process that bench_fetch.py times.

Usage: fetch_run.py BUCKET PREFIX DIRECTORY. First the digests, then everything else, each
archive verified against its own. Prints the seconds from the first request to the last byte,
which leaves out starting Python and loading modules.
"""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path

from therock_outputs.ending import end_process
from therock_outputs.layout import StorageLocation
from therock_outputs.storage import Download, open_storage

_DIGEST_SUFFIX = ".sha256sum"


def main(bucket: str, prefix: str, directory: Path) -> None:
    """Fetch all objects below ``prefix``, verified where the run has a digest for them."""
    root = StorageLocation(bucket, prefix)
    storage = open_storage(None)
    listed = list(storage.list(root))
    sums = [info for info in listed if info.location.key.endswith(_DIGEST_SUFFIX)]
    rest = [info for info in listed if not info.location.key.endswith(_DIGEST_SUFFIX)]

    def target(location: StorageLocation) -> Path:
        return directory / location.relative_to(root)

    storage.download([Download(i.location, target(i.location), size=i.size) for i in sums])
    digests = {
        i.location.key.removesuffix(_DIGEST_SUFFIX): target(i.location).read_text().split()[0]
        for i in sums
    }
    storage.download(
        [
            Download(i.location, target(i.location), digests.get(i.location.key), i.size)
            for i in rest
        ]
    )


if __name__ == "__main__":
    gc.freeze()  # as ./inv does
    start = time.perf_counter()
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    print(f"{time.perf_counter() - start:.3f}")
    gc.freeze()
    end_process(0)
