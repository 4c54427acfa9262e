"""A worker that fails now and then, and a supervisor that starts it again."""

from greencoro import Supervisor


def divide(coro=None):
    while True:
        request = coro.receive()
        request.reply(10 / request.message)


def ask(supervisor, number):
    try:
        return supervisor.child("divide", timeout=5).call(number, timeout=5)
    except Exception as error:
        return f"{type(error).__name__} ({type(error.__cause__).__name__})"


with Supervisor(max_restarts=3, within_seconds=5) as supervisor:
    supervisor.add(divide, name="divide")
    print(ask(supervisor, 4))
    print(ask(supervisor, 0))
    print(ask(supervisor, 5))  # by the next incarnation
