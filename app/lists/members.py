"""The members of a list and their roles: the only module that reads and changes `TaskList.members`.

What a role may do is defined in `app.authorisation`, what follows for a user in SQL in
`projections.read_models.members`, and in updates in `api.relay.membership`.
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from itertools import chain

from app.lists.state import TaskList
from app.text.names import normal_user
from app.values import Role

OWNER: Role = "owner"
_HEIRS: tuple[Role, ...] = ("editor", "viewer")
"""The roles whose members become the owner of a list without one, in this order."""

# --- who is a member -------------------------------------------------------------------------------------


def role_of(task_list: TaskList | None, user: str) -> Role | None:
    """Return the role of a user in a list, also in a deleted one; None for users who are not members."""
    return None if task_list is None else task_list.members.get(user)


def names_of(task_list: TaskList | None) -> AbstractSet[str]:
    """Return the members of a list."""
    return frozenset[str]() if task_list is None else task_list.members.keys()


def members_of(task_list: TaskList) -> list[tuple[str, Role]]:
    """Return the members of a list with their roles, by name."""
    return sorted(task_list.members.items())


def owners_of(task_list: TaskList) -> set[str]:
    """Return the owners of a list."""
    return {user for user, role in task_list.members.items() if role == OWNER}


def is_owner(task_list: TaskList | None, user: str) -> bool:
    """Return True if a user owns a list."""
    return role_of(task_list, user) == OWNER


def member_named(task_list: TaskList, name: str) -> str:
    """Return the member with a name: spelled as given, as events may contain it, or else normalised."""
    return name if name in task_list.members else normal_user(name)


# --- changes ---------------------------------------------------------------------------------------------


def founded_by(user: str) -> dict[str, Role]:
    """Return the members of a new list."""
    return {user: OWNER}


def with_role(task_list: TaskList, user: str, role: Role) -> dict[str, Role]:
    """Return the members after a user was added, or has another role."""
    return {**task_list.members, user: role}


def without(task_list: TaskList, user: str) -> dict[str, Role]:
    """Return the members after a user left."""
    return {member: role for member, role in task_list.members.items() if member != user}


def handed_over(task_list: TaskList, user: str, to: str) -> dict[str, Role]:
    """Return the members after a user made another one the owner."""
    return {**task_list.members, user: "editor", to: OWNER}


def next_owner(task_list: TaskList) -> str:
    """Return the user who becomes the owner of a list without one.

    This is the creator, unless they left; otherwise the first of the editors, otherwise the first member.
    """
    ordered = chain.from_iterable(
        (user for user, role in members_of(task_list) if role == heirs) for heirs in _HEIRS
    )
    is_creators = task_list.inbox or task_list.created_by in task_list.members
    return task_list.created_by if is_creators else next(ordered, task_list.created_by)


def is_same_membership(before: TaskList, after: TaskList) -> bool:
    """Return True if an event has not changed the members."""
    return before.members is after.members


def affected_by(before: TaskList | None, after: TaskList) -> list[str]:
    """Return the users who receive an event of a list: its members before and after it, by name."""
    return sorted({*after.members, *names_of(before)})


def kept(users: Collection[str], task_list: TaskList | None) -> set[str]:
    """Return those of some users who are members of a list."""
    return set(users) & names_of(task_list)
