"""The limit of a user's active jobs, for uploads and for jobs that begin again."""

from libs.fanout import fan_out
from libs.storage import layout
from libs.storage.session import SessionFiles, indexed_session, owner_of
from services.serving.problem import Problem
from services.web.auth import User


async def check_room_beside(files: SessionFiles, user: User, most: int) -> None:
    """Raise `Problem` 429 when the user has `most` active jobs besides this one, which begins again."""
    prefix = f"{layout.ACTIVE}{files.user_hash}/"
    others = [stat.path async for stat in files.store.list(prefix) if stat.path != files.active_path]
    await check_most(files, others, user, most)


async def check_most(files: SessionFiles, active: list[str], user: User, most: int) -> None:
    """Raise `Problem` 429 when `most` of these active jobs, by their paths in the index, are the user's."""
    if len(active) >= most:
        # Another user's address may have the same hash. A session without an owner yet counts.
        owners = await fan_out(owner_of, [indexed_session(files.store, path) for path in active])
        active = [path for path, owner in zip(active, owners, strict=True) if owner in (None, user.email)]
    if len(active) >= most:
        raise too_many(len(active))


def too_many(jobs: int) -> Problem:
    """429 for a user who has so many active jobs."""
    return Problem(
        429,
        "Too many active jobs",
        f"You have {jobs} jobs that have not ended.",
        "Wait for one to end, or cancel one.",
        headers={"Retry-After": "30"},
    )
