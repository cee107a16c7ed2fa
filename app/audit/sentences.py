"""Sentences: an event, what it changed, and who did it, in plain English.

    alice moved “Pay rent” from Doing to Done

A sentence is made from the event, its changes, and the title of its task or the name of its list after it.
Names of lists that a task moved between are looked up before; without a name it is another list. The feed of
the activity has sentences for groups of events: `app.activity.PHRASES`, of which those of one event are used
here where they say as much.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from app.activity import BY_POLICY, PHRASES
from app.log.event_json import RecordedEvent
from app.log.fold import Outcome
from app.policies import POLICY_PREFIX
from app.recurrence.describe import describe
from app.stream_ids import NO_STREAM, StreamId
from app.text.graphemes import shortened

MAX_VALUE_CHARS = 80
MAX_TITLE_CHARS = 160
MAX_QUESTION_CHARS = 200
"""Longer ones are shortened; the event has them in full."""
SERVICE = "Tasktape"
"""The actor of events that a policy appended."""
IMPLIED = frozenset(
    {"status", "completed_at", "deleted_at", "rank", "series", "reminded", "comment_count", "list_id"}
)
"""Fields that a sentence does not name: they follow from the event, or say nothing to a person."""
OBJECTS = frozenset({"notes", "parent_id", "reminders", "members"})
"""Fields whose values are not in a sentence."""
NAMES = {"parent_id": "parent", "recurrence_from": "base of the recurrence", "due": "due date"}
"""The names of fields in a sentence, if they differ."""


@dataclass(frozen=True, slots=True)
class Described:
    """The parts of an event that a sentence is made from.

    `title` is that of the task, or the name of the list, after it. `lists` has the names of lists by id.
    """

    type: str
    actor: str
    title: str
    stream: StreamId
    outcome: Outcome
    data: Mapping[str, Any]
    changes: Mapping[str, Any]
    lists: Mapping[str, str]

    @property
    def subject(self) -> str:
        """Return the words for the task or the list."""
        title = f"“{shortened(self.title, MAX_TITLE_CHARS)}”"
        return f"the list {title}" if self.stream.kind == "list" else title


def sentence_of(event: RecordedEvent, title: str, lists: Mapping[str, str]) -> str:
    """Return the sentence of an event; see `Described`."""
    if event.type is None:
        return f"A record cannot be read: {event.reason}"
    data, stream = from_json(event.data) or {}, event.stream or NO_STREAM
    by_policy = (event.source or "").startswith(POLICY_PREFIX)
    described = Described(
        type=event.type,
        actor=SERVICE if by_policy else event.actor or "",
        title=title or data.get("title") or data.get("name") or stream,
        stream=stream,
        outcome=event.outcome,
        data=data,
        changes=from_json(event.changes),
        lists=lists,
    )
    return _sentence(described, by_policy=by_policy) + _outcome(event, by_policy=by_policy)


def _outcome(event: RecordedEvent, *, by_policy: bool) -> str:
    if event.outcome != "accepted":
        return f" ({event.outcome}: {event.reason})"
    return f", because {event.reason}" if by_policy and event.reason else ""


def lists_in(events: Collection[RecordedEvent]) -> set[str]:
    """Return the ids of the lists whose names the sentences of these events need."""
    ids: set[str | None] = set()
    for event in events:
        if event.type is not None and b'"list_id":' in event.changes:
            former, new = from_json(event.changes)["list_id"]
            ids |= {former, new} if former is not None else set()
    return {each for each in ids if each is not None}


# --- by type ---------------------------------------------------------------------------------------------


def _sentence(each: Described, *, by_policy: bool) -> str:
    data, who, subject = each.data, each.actor, each.subject
    match each.type:
        case "task.created" if not by_policy and data.get("stage"):
            return f"{_phrase(each)} in {data['stage']}"
        case "task.edited" | "list.edited":
            return _edited(each)
        case "task.moved":
            return _moved(each)
        case "task.completed" | "task.reopened" | "task.skipped" | "task.undone" | "task.reverted":
            return _phrase(each) + _along(each)
        case "task.restored" if not by_policy:
            return _phrase(each) + _along(each)
        case "task.reminded":
            return f"{who} reminded {_listed(data.get('notify') or ('nobody',))} of {subject}"
        case "stream.resumed":
            return f"{who} skipped the parked records {_listed(data['skipped'])} of {each.stream}"
        case _ if each.stream.kind == "list":
            return _of_list(each)
        case _ if each.stream.kind == "user":
            return _of_user(each)
        case _:
            return _phrase(each, BY_POLICY.get(each.type) if by_policy else None)


def _phrase(each: Described, activity: str | None = None) -> str:
    """Return the sentence of one event in the feed, with the type that the feed has for it."""
    one, _ = PHRASES[activity or each.type]
    return one.format_map({"actor": each.actor, "title": shortened(each.title, MAX_TITLE_CHARS)})


def _moved(each: Described) -> str:
    if "list_id" in each.changes:
        former, new = (each.lists.get(one) for one in each.changes["list_id"])
        way = _way(*(f"the list “{name}”" if name else "another list" for name in (former, new)))
        return f"{each.actor} moved {each.subject}{way}{_clauses_after(each)}"
    if "stage" in each.changes:
        return f"{each.actor} moved {each.subject}{_way(*each.changes['stage'])}"
    if each.data.get("stage"):
        return f"{each.actor} moved {each.subject} to {each.data['stage']}"
    place = " to another place in its list" if "rank" in each.changes else ""
    return f"{each.actor} moved {each.subject}{place}"


def _edited(each: Described) -> str:
    changed = {name: pair for name, pair in each.changes.items() if name not in IMPLIED or name == "status"}
    once = ", for this occurrence only" if each.data.get("this_only") else ""
    if not changed and each.outcome == "accepted":
        return f"{each.actor} edited {each.subject}, and nothing changed"
    if not changed:
        given = ", ".join(_clause_of_new(name, value) for name, value in each.data["fields"].items())
        return f"{each.actor} edited {each.subject}" + (f": {given}" if given else "")
    if "stage" in changed and not {"title", "status"} & changed.keys():
        return (
            f"{each.actor} moved {each.subject}{_way(*changed['stage'])}{_clauses_after(each, 'stage')}{once}"
        )
    if len(changed) > 1:
        clauses = (_clause(name, *pair) for name, pair in changed.items())
        return f"{each.actor} changed {each.subject}: {', '.join(clauses)}{once}"
    [(name, (former, new))] = changed.items()
    if name in ("title", "name"):
        kind = "the list " if name == "name" else ""
        return f"{each.actor} renamed {kind}“{former}” to “{new}”{once}"
    of = f"the {_name(name)} of {each.subject}"
    return f"{each.actor} changed {of}{_change(name, former, new)}{once}"


def _of_list(each: Described) -> str:
    data, who, subject = each.data, each.actor, each.subject
    match each.type:
        case "list.renamed":
            former = each.changes.get("name", ("",))[0]
            return f"{who} renamed the list{f' “{former}”' if former else ''} to “{data['name']}”"
        case "list.member_added":
            return f"{who} added {data['user']} to {subject} as {data['role']}"
        case "list.member_role_changed":
            former = (each.changes.get("members") or ({},))[0].get(data["user"])
            return f"{who} changed the role of {data['user']} in {subject}{_way(former, data['role'])}"
        case "list.member_removed" if data["user"] == who:
            return f"{who} left {subject}"
        case "list.member_removed":
            return f"{who} removed {data['user']} from {subject}"
        case "list.handed_over":
            return f"{who} handed {subject} over to {data['to']}"
        case _:
            return f"{who} {each.type.partition('.')[2]} {subject}"  # created, deleted, restored


def _of_user(each: Described) -> str:
    count = len(each.data.get("ids", ()))
    some = "1 notification" if count == 1 else f"{count} notifications"
    match each.type:
        case "user.notifications_read":
            return f"{each.actor} marked {some} as read"
        case "user.notifications_unread":
            return f"{each.actor} marked {some} as unread"
        case "user.notifications_all_read":
            return f"{each.actor} marked all notifications up to {each.data['until']} as read"
        case "user.audit_read":
            question = shortened(each.data["question"], MAX_QUESTION_CHARS)
            return f"{each.actor} read events of others, by {each.data['means']}: {question}"
        case _:
            return f"{each.actor} appended {each.type}"


# --- changes ---------------------------------------------------------------------------------------------


def _along(each: Described) -> str:
    """Return what else an event changed that is about something else."""
    stage = each.changes.get("stage")
    moved = f" and moved it{_way(*stage)}" if stage else ""
    return moved + _clauses_after(each, "stage")


def _clauses_after(each: Described, *but: str) -> str:
    names = (name for name in each.changes if name not in IMPLIED and name not in but)
    clauses = ", ".join(_clause(name, *each.changes[name]) for name in names)
    return f": {clauses}" if clauses else ""


def _clause(name: str, former: Any, new: Any) -> str:
    return f"{_name(name)}{_change(name, former, new)}"


def _clause_of_new(name: str, new: Any) -> str:
    return _name(name) if name in OBJECTS else f"{_name(name)} to {_value(name, new)}"


def _change(name: str, former: Any, new: Any) -> str:
    return "" if name in OBJECTS else f" from {_value(name, former)} to {_value(name, new)}"


def _way(former: str | None, new: str | None) -> str:
    """Return the words for a movement; None is no place."""
    if former is None or new is None:
        return f" to {new}" if new is not None else f" out of {former}"
    return f" from {former} to {new}"


def _name(field: str) -> str:
    return NAMES.get(field, field).replace("_", " ")


def _value(name: str, value: Any) -> str:
    """Return a value of a field in words."""
    if value is None or value in ("", [], ()):
        return "none"
    if name == "recurrence":
        return describe(value)
    if isinstance(value, list):
        value = _listed(each["name"] if isinstance(each, dict) else each for each in value)
    return shortened(str(value), MAX_VALUE_CHARS)


def _listed(words: Any) -> str:
    return ", ".join(map(str, words))
