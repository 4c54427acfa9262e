"""The states of a handshake, in a table of what leads from one to the next."""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["RECEIVING", "TRANSITIONS", "Event", "Role", "State"]


class Role(Enum):
    """Which side of a connection this is."""

    #: Dialled.
    INITIATOR = auto()
    #: Was dialled.
    RESPONDER = auto()


class State(Enum):
    """Where a handshake stands."""

    #: The other side's preamble has not come.
    AWAIT_PREAMBLE = auto()
    #: Responder: the initiator has not proved that it knows the secret.
    AWAIT_PROOF = auto()
    #: Initiator: the responder has not proved it.
    AWAIT_ANSWER = auto()
    #: Responder: keys are there; that the initiator is live, and no replay, is still to be seen.
    UNCONFIRMED = auto()
    #: Keys are there and the other side is proved live.
    CONFIRMED = auto()
    #: Refused; nothing leads out of here.
    FAILED = auto()


class Event(Enum):
    """What moves a handshake on."""

    PREAMBLE_ACCEPTED = auto()
    PROOF_ACCEPTED = auto()
    ANSWER_ACCEPTED = auto()
    RECORD_OPENED = auto()
    REFUSED = auto()


#: What each event leads to; what is not listed cannot happen.
TRANSITIONS: dict[tuple[Role, State], dict[Event, State]] = {
    (Role.INITIATOR, State.AWAIT_PREAMBLE): {
        Event.PREAMBLE_ACCEPTED: State.AWAIT_ANSWER,
        Event.REFUSED: State.FAILED,
    },
    (Role.INITIATOR, State.AWAIT_ANSWER): {
        # The answer is made from our fresh ephemeral key, so it cannot be a replay.
        Event.ANSWER_ACCEPTED: State.CONFIRMED,
        Event.REFUSED: State.FAILED,
    },
    (Role.INITIATOR, State.CONFIRMED): {Event.RECORD_OPENED: State.CONFIRMED},
    (Role.INITIATOR, State.FAILED): {},
    (Role.RESPONDER, State.AWAIT_PREAMBLE): {
        Event.PREAMBLE_ACCEPTED: State.AWAIT_PROOF,
        Event.REFUSED: State.FAILED,
    },
    (Role.RESPONDER, State.AWAIT_PROOF): {
        Event.PROOF_ACCEPTED: State.UNCONFIRMED,
        Event.REFUSED: State.FAILED,
    },
    (Role.RESPONDER, State.UNCONFIRMED): {Event.RECORD_OPENED: State.CONFIRMED},
    (Role.RESPONDER, State.CONFIRMED): {Event.RECORD_OPENED: State.CONFIRMED},
    (Role.RESPONDER, State.FAILED): {},
}

#: In these a handshake takes what arrives.
RECEIVING = (State.AWAIT_PREAMBLE, State.AWAIT_PROOF, State.AWAIT_ANSWER)
