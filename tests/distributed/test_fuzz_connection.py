"""Two connections with a hostile network between them, step by step: S2, S3, S4, M4."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from greencoro.distributed import messages
from greencoro.distributed.connection import Connection, Established, Introduced, Limits
from greencoro.distributed.handshake_states import Role
from greencoro.errors import NetworkError, PeerLost
from tests.fuzz.checks import PSK, Edit, damaged, hello, identity

LIMITS = Limits(
    tick_seconds=1.0,
    peer_timeout_seconds=4.0,
    max_handshake_frame_bytes=4096,
    max_message_bytes=40_000,
    chunk_bytes=4096,
)
sides = st.integers(0, 1)
edit = st.builds(Edit, st.integers(0, 5), st.integers(0, 9000), st.integers(0, 9000))


class Side:
    """One end, what is on its way to it, and all that anybody ever said to it."""

    def __init__(self, number, ephemeral):
        role = (Role.INITIATOR, Role.RESPONDER)[number]
        who = number + 1
        self.end = Connection(role, PSK, hello(who), identity(who), bytes((ephemeral,)) * 32, "print", LIMITS, 0.0)
        self.on_its_way = b""
        self.records = []
        self.heard = 0
        #: Was anything but what the other side said put into its ears, or into those of the other side?
        self.is_deceived = False
        self.is_over = False
        self.introduced = self.established = 0
        #: For each target, in order.
        self.sent = {}
        self.got = {}

    def hear(self, data):
        self.heard += len(data)
        try:
            events = self.end.receive_data(memoryview(bytearray(data)), 0.0)
        except NetworkError:
            assert self.is_deceived, "an honest peer was refused"
            self.is_over = True
            return
        for event in events:
            if isinstance(event, Introduced):
                self.introduced += 1
            elif isinstance(event, Established):
                self.established += 1
            elif isinstance(event, messages.Send):
                self.got.setdefault(event.target, []).append(bytes(event.payload))
            else:
                assert event == messages.Ping()


class HostileNetwork(RuleBasedStateMachine):
    """It has what was said on this connection and on an earlier one of the same two, and delivers what it likes."""

    @initialize(turns=st.just(5) | st.integers(0, 7))
    def begin(self, turns):
        """The two are let through so many steps; with five they are both sure of each other."""
        self.sides = [Side(0, 1), Side(1, 2)]
        self.earlier_records = [[], []]
        former = [Side(0, 3), Side(1, 4)]
        for turn in (0, 1, 0, 1, 0):
            records = self.said_by(former[turn])
            self.earlier_records[1 - turn] += records
            former[1 - turn].hear(b"".join(records))
        assert all(side.established for side in former)
        self.clock = 0.0
        for turn in range(turns):
            self.speak(turn % 2)
            self.carry(1 - turn % 2, 1 << 30)

    @staticmethod
    def said_by(side):
        return [b"".join(record) for record in iter(side.end.data_to_send, [])]

    def deceive(self, side, data):
        side.is_deceived = True
        if not side.is_over:
            side.hear(data)

    @rule(
        number=sides,
        size=st.integers(0, 200) | st.integers(4000, 20_000),
        mailbox=st.integers(1, 2),
        arrives=st.booleans(),
    )
    def send(self, number, size, mailbox, arrives):
        here, there = self.sides[number], self.sides[1 - number]
        if here.is_over or not here.end.established:
            return
        sent = there.sent.setdefault(mailbox, [])
        payload = bytes((number, mailbox, len(sent))) + bytes(size)
        head = messages.send_header(mailbox)
        here.end.push(mailbox, [head, payload], len(head) + len(payload))
        sent.append(payload)
        if arrives:
            self.speak(number)
            self.carry(1 - number, 1 << 30)

    @rule(number=sides)
    def speak(self, number):
        here, there = self.sides[number], self.sides[1 - number]
        records = [] if here.is_over else self.said_by(here)
        # Who was deceived answers to that.
        there.is_deceived |= here.is_deceived and bool(records)
        there.on_its_way += b"".join(records)
        there.records += records

    @rule(number=sides, size=st.integers(1, 30_000))
    def carry(self, number, size):
        side = self.sides[number]
        data, side.on_its_way = side.on_its_way[:size], side.on_its_way[size:]
        if not side.is_over:
            side.hear(data)

    @precondition(lambda self: any(side.on_its_way for side in self.sides))
    @rule(number=sides, edit=edit)
    def alter(self, number, edit):
        side = self.sides[number]
        altered = damaged(side.on_its_way, [edit])
        side.is_deceived |= altered != side.on_its_way
        side.on_its_way = altered

    @rule(number=sides, whose=sides, at=st.integers(0, 9000), size=st.integers(1, 9000), is_earlier=st.booleans())
    def replay(self, number, whose, at, size, is_earlier):
        source = b"".join(self.earlier_records[whose] if is_earlier else self.sides[whose].records)
        at %= len(source) + 1
        if source[at : at + size]:
            self.deceive(self.sides[number], source[at : at + size])

    @rule(number=sides, whose=sides, which=st.integers(0, 20), is_earlier=st.booleans(), is_ahead=st.booleans())
    def replay_record(self, number, whose, which, is_earlier, is_ahead):
        source = self.earlier_records[whose] if is_earlier else self.sides[whose].records
        if not source:
            return
        side = self.sides[number]
        if is_ahead:
            # At the end of a record, for it was carried whole.
            self.carry(number, 1 << 30)
        self.deceive(side, source[which % len(source)])

    @rule(number=sides, data=st.binary(min_size=1, max_size=40))
    def invent(self, number, data):
        self.deceive(self.sides[number], data)

    @rule(seconds=st.floats(0.0, 0.5))
    def wait(self, seconds):
        self.clock += seconds
        for side in self.sides:
            if not side.is_over:
                try:
                    side.end.tick(self.clock)
                except PeerLost:
                    # Nobody tells these ends what time it is when something comes.
                    assert self.clock >= LIMITS.peer_timeout_seconds
                    side.is_over = True

    @invariant()
    def nothing_arrives_that_was_not_sent_and_each_in_its_order_once(self):
        for side in getattr(self, "sides", ()):
            for target, got in side.got.items():
                assert got == side.sent.get(target, [])[: len(got)]
            assert side.introduced <= 1 and side.established <= side.introduced

    @invariant()
    def nobody_is_established_alone(self):
        # A responder is sure of its peer by a record, and that was sealed by one that is sure of it.
        one, other = getattr(self, "sides", (None, None))
        if other is not None and other.established:
            assert one.established
        if one is not None and one.established:
            assert other.introduced

    @invariant()
    def no_more_is_kept_than_came(self):
        for side in getattr(self, "sides", ()):
            opener, streams = side.end._opener, side.end.session._assembly._streams.values()
            kept = sum(len(collected) for collected, _ in streams)
            assert kept + (0 if opener is None else opener.buffered_bytes) <= side.heard


class HonestNetwork(HostileNetwork):
    """It alters nothing, so nobody is refused and all arrives at the end."""

    alter = replay = replay_record = invent = wait = None

    def teardown(self):
        if not hasattr(self, "sides"):
            return
        for _ in range(20):
            for number in (0, 1):
                self.speak(number)
                self.carry(number, 1 << 30)
        for side in self.sides:
            assert not side.is_over and side.established
            assert side.got == side.sent


TestHostileNetwork = HostileNetwork.TestCase
TestHostileNetwork.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestHonestNetwork = HonestNetwork.TestCase
TestHonestNetwork.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
