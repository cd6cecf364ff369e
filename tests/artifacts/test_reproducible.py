from __future__ import annotations

import pytest

from therock_outputs.artifacts.reproducible import FIXED_EPOCH, source_date_epoch
from therock_outputs.errors import UsageError


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, FIXED_EPOCH),
        ({"SOURCE_DATE_EPOCH": ""}, FIXED_EPOCH),
        ({"SOURCE_DATE_EPOCH": "0"}, 0),
        ({"SOURCE_DATE_EPOCH": " 1700000000\n"}, 1_700_000_000),
    ],
)
def test_time_is_from_the_environment_or_fixed(environ: dict[str, str], seconds: int) -> None:
    assert source_date_epoch(environ) == seconds


@pytest.mark.parametrize("text", ["yesterday", "-1", "1.5", "0x10", "1" * 30, "99999999999", "٣"])
def test_time_that_is_no_number_of_seconds_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"SOURCE_DATE_EPOCH is .* correct or unset it"):
        source_date_epoch({"SOURCE_DATE_EPOCH": text})
