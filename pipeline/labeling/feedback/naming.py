"""Notes about answers name the file and its task, never a bare id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Note = tuple[str, str]


def named(notes: Iterable[Note], uris: Mapping[str, str], links: Mapping[str, str]) -> tuple[Note, ...]:
    """Give each note the file that it is about, with the address of its task; what is no image stays as it is.

    Args:
        notes: What was found: (image id or another subject, what).
        uris: Where images lie, by image id.
        links: Addresses of tasks, by image id; empty for none.
    """
    return tuple((_named(subject, uris, links), found) for subject, found in notes)


def _named(subject: str, uris: Mapping[str, str], links: Mapping[str, str]) -> str:
    if subject not in uris:
        return subject
    link = links.get(subject)
    return f"{uris[subject]} ({link})" if link else uris[subject]
