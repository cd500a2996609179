"""`fleet pack`: old months become rows of days."""

from gateway.cli.terminal import Refused
from gateway.fleet.database import connect
from gateway.fleet.packing import Packing, due, words
from gateway.fleet.settings import FleetSettings


async def pack(settings: FleetSettings) -> int:
    """Returns the exit code. Raises DatabaseError, Refused, ConfigError."""
    packing = Packing(settings, pause=0.0)
    done = await packing.once(lambda what: print(f"{what} …", flush=True))
    for each in done:
        print(words(each))
    days = settings.file.pack_after_days
    connection = await connect(settings)
    try:
        left = await due(connection, days)
    finally:
        await connection.close()
    if left:
        raise Refused("a collector packs at this moment: wait for it, or look at its log")
    if not done:
        print(f"There is no month that ended {days} days ago and is not packed yet.")
    return 0
