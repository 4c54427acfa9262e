"""The fixed binary layout of each kind of message between runtimes.

A message is one byte of kind, then that kind's fields in network order. Nothing here is ever pickled or evaluated; the
tail of those that carry a user's object is opaque bytes (`codec`), which only the receiving coroutine opens.

=============== =================================================================================================
kind            fields
=============== =================================================================================================
SEND            u64 target, payload
DELIVER         u64 target, u32 request, payload
RESULT          u32 request, i32 result
MONITOR         u64 target, u32 request, u64 watch
NOTICE          u64 watch, u8 outcome, str error type, str error text, str traceback, payload
TERMINATE       u64 target, u32 request (0: no answer wanted), u8 hard
GONE            u64 target: it is over, so is every credit for it
CREDIT          u64 target, u32 messages, u64 bytes
LOCATE          u32 request, u8 wait, str kind, str name
LOCATED         u32 request, u64 target (0: nothing of that name now), str name
FORGET          u32 request: the LOCATE of that number is no longer of interest
PING, PONG
BYE             str reason
REQUEST         u32 request (0: no reply wanted), str operation, str JSON, parts
REPLY           u32 request, u8 succeeded, str JSON, parts
CHANNEL_SEND    u64 channel, u64 sender, route, payload
CHANNEL_DELIVER u64 channel, u64 sender, u32 request, u32 subscribers to wait for, f64 seconds (infinite: no limit),
                route, payload
WITHDRAW        u32 request: nobody waits for the CHANNEL_DELIVER of that number any more
UNMONITOR       u64 watch: its NOTICE is no longer of interest
WELCOME
DEBT            u64 target (0: there are no more), u32 messages, u64 bytes
UNLOCK          16 bytes of a reach key
UNLOCKED        16 bytes of a reach key
=============== =================================================================================================

For ``str``, ``parts`` and ``route`` see `fields`.
"""

from __future__ import annotations

import enum
import struct

__all__ = [
    "CHANNEL_DELIVER_FIELDS",
    "CHANNEL_SEND_FIELDS",
    "CREDIT_FIELDS",
    "DELIVER_FIELDS",
    "KEY_FIELDS",
    "LOCATED_FIELDS",
    "LOCATE_FIELDS",
    "MONITOR_FIELDS",
    "NOTICE_FIELDS",
    "NUMBER_FIELDS",
    "REPLY_FIELDS",
    "RESULT_FIELDS",
    "SEND_FIELDS",
    "SEND_KIND",
    "TARGET_FIELDS",
    "TERMINATE_FIELDS",
    "Kind",
]


class Kind(enum.IntEnum):
    """The first byte of a message."""

    SEND = 1
    DELIVER = 2
    RESULT = 3
    MONITOR = 4
    NOTICE = 5
    TERMINATE = 6
    GONE = 7
    CREDIT = 8
    LOCATE = 9
    LOCATED = 10
    FORGET = 11
    PING = 12
    PONG = 13
    BYE = 14
    REQUEST = 15
    REPLY = 16
    CHANNEL_SEND = 17
    CHANNEL_DELIVER = 18
    WITHDRAW = 19
    UNMONITOR = 20
    WELCOME = 21
    DEBT = 22
    UNLOCK = 23
    UNLOCKED = 24


SEND_FIELDS = struct.Struct("!BQ")
DELIVER_FIELDS = struct.Struct("!BQI")
RESULT_FIELDS = struct.Struct("!BIi")
MONITOR_FIELDS = struct.Struct("!BQIQ")
NOTICE_FIELDS = struct.Struct("!BQB")
TARGET_FIELDS = struct.Struct("!BQ")
TERMINATE_FIELDS = struct.Struct("!BQIB")
CREDIT_FIELDS = struct.Struct("!BQIQ")
LOCATE_FIELDS = struct.Struct("!BIB")
LOCATED_FIELDS = struct.Struct("!BIQ")
NUMBER_FIELDS = struct.Struct("!BI")
REPLY_FIELDS = struct.Struct("!BIB")
CHANNEL_SEND_FIELDS = struct.Struct("!BQQ")
CHANNEL_DELIVER_FIELDS = struct.Struct("!BQQIId")
KEY_FIELDS = struct.Struct("!B16s")

#: That of the hot path, compared without the cost of an enum.
SEND_KIND = int(Kind.SEND)
