"""The header structure of rpms (RPM package format, version 3 headers), as bytes."""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence

__all__ = ["Header", "Tag", "lead"]

_MAGIC = b"\x8e\xad\xe8\x01\0\0\0\0"
_LEAD = struct.Struct(">4sBBhh66shh16s")
_ARCHITECTURES = {"x86_64": 1, "aarch64": 19}
_ANY_ARCHITECTURE = 255
_LINUX, _HEADER_SIGNATURES = 1, 5
_ENTRY = struct.Struct(">IIiI")
_REGION_SIZE = 16


class Tag(enum.IntEnum):
    """Numbers of the tags that are written, by rpmtag.h."""

    SIGNATURES = 62
    IMMUTABLE = 63
    I18N_TABLE = 100
    SIGNATURE_DSA = 267
    SIGNATURE_RSA = 268
    SHA1_HEADER = 269
    LONG_SIGNATURE_SIZE = 270
    LONG_ARCHIVE_SIZE = 271
    SHA256_HEADER = 273
    SIGNATURE_SIZE = 1000
    SIGNATURE_MD5 = 1004
    SIGNATURE_PAYLOAD_SIZE = 1007
    RESERVED_SPACE = 1008
    # Of the main header: 1000, 1004 and 1007 meant something else above.
    NAME = 2_001_000
    VERSION = 1001
    RELEASE = 1002
    SUMMARY = 2_001_004
    DESCRIPTION = 1005
    BUILD_TIME = 1006
    BUILD_HOST = 2_001_007
    SIZE = 1009
    VENDOR = 1011
    LICENSE = 1014
    PACKAGER = 1015
    GROUP = 1016
    URL = 1020
    OS = 1021
    ARCHITECTURE = 1022
    POST_IN = 1024
    PRE_UN = 1025
    POST_UN = 1026
    FILE_SIZES = 1028
    FILE_MODES = 1030
    FILE_RDEVS = 1033
    FILE_MTIMES = 1034
    FILE_DIGESTS = 1035
    FILE_LINKS = 1036
    FILE_FLAGS = 1037
    FILE_USERS = 1039
    FILE_GROUPS = 1040
    SOURCE_RPM = 1044
    FILE_VERIFY_FLAGS = 1045
    PROVIDE_NAMES = 1047
    REQUIRE_FLAGS = 1048
    REQUIRE_NAMES = 1049
    REQUIRE_VERSIONS = 1050
    CONFLICT_FLAGS = 1053
    CONFLICT_NAMES = 1054
    CONFLICT_VERSIONS = 1055
    RPM_VERSION = 1064
    CHANGELOG_TIMES = 1080
    CHANGELOG_NAMES = 1081
    CHANGELOG_TEXTS = 1082
    POST_IN_PROGRAM = 1086
    PRE_UN_PROGRAM = 1087
    POST_UN_PROGRAM = 1088
    OBSOLETE_NAMES = 1090
    FILE_DEVICES = 1095
    FILE_INODES = 1096
    FILE_LANGUAGES = 1097
    PREFIXES = 1098
    PROVIDE_FLAGS = 1112
    PROVIDE_VERSIONS = 1113
    OBSOLETE_FLAGS = 1114
    OBSOLETE_VERSIONS = 1115
    DIRECTORY_INDEXES = 1116
    BASE_NAMES = 1117
    DIRECTORY_NAMES = 1118
    PAYLOAD_FORMAT = 1124
    PAYLOAD_COMPRESSOR = 1125
    PAYLOAD_FLAGS = 1126
    FILE_COLORS = 1140
    POST_TRANSACTION = 1152
    POST_TRANSACTION_PROGRAM = 1154
    LONG_FILE_SIZES = 5008
    LONG_SIZE = 5009
    FILE_DIGEST_ALGORITHM = 5011
    RECOMMEND_NAMES = 5046
    RECOMMEND_VERSIONS = 5047
    RECOMMEND_FLAGS = 5048
    SUGGEST_NAMES = 5049
    SUGGEST_VERSIONS = 5050
    SUGGEST_FLAGS = 5051
    ENCODING = 5062
    PAYLOAD_DIGEST = 5092
    PAYLOAD_DIGEST_ALGORITHM = 5093


_SHIFTED = 2_000_000
_INT16, _INT32, _INT64, _STRING, _BINARY, _STRINGS, _I18N = 3, 4, 5, 6, 7, 8, 9


class Header:
    """A header being filled; its bytes do not depend on the order of the calls."""

    def __init__(self, region: Tag) -> None:
        self._region = region
        self._entries: dict[int, tuple[int, int, bytes]] = {}

    def text(self, tag: Tag, value: str) -> None:
        """A text; nothing when it is empty."""
        if value:
            self._set(tag, _STRING, 1, _encode(value) + b"\0")

    def translated(self, tag: Tag, value: str) -> None:
        """A text of which there could be translations."""
        self._set(tag, _I18N, 1, _encode(value) + b"\0")

    def texts(self, tag: Tag, values: Sequence[str]) -> None:
        """Several texts; nothing when there are none."""
        if values:
            data = b"".join(_encode(value) + b"\0" for value in values)
            self._set(tag, _STRINGS, len(values), data)

    def binary(self, tag: Tag, value: bytes) -> None:
        """Bytes."""
        self._set(tag, _BINARY, len(value), value)

    def int16(self, tag: Tag, values: Sequence[int]) -> None:
        """Numbers of two bytes."""
        self._numbers(tag, _INT16, "H", values)

    def int32(self, tag: Tag, values: Sequence[int]) -> None:
        """Numbers of four bytes."""
        self._numbers(tag, _INT32, "I", values)

    def int64(self, tag: Tag, values: Sequence[int]) -> None:
        """Numbers of eight bytes."""
        self._numbers(tag, _INT64, "Q", values)

    def to_bytes(self) -> bytes:
        """The header: magic, index with its region, data."""
        index, data = [], bytearray()
        for tag, (kind, count, value) in sorted(self._entries.items()):
            data += bytes(-len(data) % {_INT16: 2, _INT32: 4, _INT64: 8}.get(kind, 1))
            index.append(_ENTRY.pack(tag, kind, len(data), count))
            data += value
        entries = len(index) + 1
        # The region says that all entries belong together, from its own on (rpm: "immutable").
        region = _ENTRY.pack(self._region, _BINARY, len(data), _REGION_SIZE)
        data += _ENTRY.pack(self._region, _BINARY, -entries * _ENTRY.size, _REGION_SIZE)
        return b"".join(
            [_MAGIC, struct.pack(">II", entries, len(data)), region, *index, bytes(data)]
        )

    def _numbers(self, tag: Tag, kind: int, form: str, values: Sequence[int]) -> None:
        if values:
            self._set(tag, kind, len(values), struct.pack(f">{len(values)}{form}", *values))

    def _set(self, tag: Tag, kind: int, count: int, value: bytes) -> None:
        self._entries[tag % _SHIFTED] = kind, count, value


def lead(name: str, architecture: str) -> bytes:
    """The 96 bytes that files of this type begin with; rpm looks at no more than its magic."""
    number = _ARCHITECTURES.get(architecture, _ANY_ARCHITECTURE)
    short = name.encode()[:65]
    return _LEAD.pack(
        b"\xed\xab\xee\xdb", 3, 0, 0, number, short, _LINUX, _HEADER_SIGNATURES, bytes(16)
    )


def _encode(text: str) -> bytes:
    return text.replace("\0", "").encode("utf-8", "surrogateescape")
