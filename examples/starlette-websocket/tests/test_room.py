import asyncio
from typing import Any

from room import BACKLOG, Event, Queue, Room, heard


def run(test: Any) -> None:
    asyncio.run(asyncio.wait_for(test, timeout=30))


def test_everybody_hears_what_is_said() -> None:
    async def test() -> None:
        room, ann, bob = Room(), Queue(BACKLOG), Queue(BACKLOG)
        with room.listening(ann), room.joined("ann"), room.listening(bob):
            room.say("ann", "box, box")

        said = Event("message", {"from": "ann", "text": "box, box"})
        assert [event async for event in heard(ann)] == [
            Event("people", []),
            Event("people", ["ann"]),
            said,
            Event("people", []),
        ]
        assert [event async for event in heard(bob)] == [Event("people", ["ann"]), said]
        assert not room.people
        assert not room.queues

    run(test())


def test_two_people_of_one_name() -> None:
    async def test() -> None:
        room = Room()
        with room.joined("ann"):
            with room.joined("ann"):
                assert room.people == ["ann", "ann"]
            assert room.people == ["ann"]

    run(test())


def test_a_listener_that_is_too_far_behind_is_let_go() -> None:
    async def test() -> None:
        room, slow, quick = Room(), Queue(BACKLOG), Queue(BACKLOG)
        with room.listening(slow), room.listening(quick):
            await quick.get()
            for number in range(BACKLOG):
                room.say("ann", str(number))
                assert (await quick.get()).content["text"] == str(number)

            assert room.queues == {quick}
            assert [event async for event in heard(slow)] == []

    run(test())
