"""Names of the pages, all below one folder: the targets of relative links, safe for any label."""

from __future__ import annotations

import hashlib

INDEX_PAGE = "index.html"
LEAD_PAGE = "lead.html"
DATA_FOLDER = "data"
IMAGES_FOLDER = "images"


def page_name(cycle: int) -> str:
    """Page of a cycle."""
    return f"cycle-{cycle:04d}.html"


def version_page(version: int) -> str:
    """Page of a dataset version."""
    return f"versions/{version:04d}.html"


def class_page(label: str) -> str:
    """Page of a class: named by a hash, since a label may be anything."""
    return f"classes/{hashlib.sha256(label.encode()).hexdigest()[:16]}.html"


def model_page(model_id: str) -> str:
    """Page of a model."""
    return f"models/{model_id}.html"


def data_name(page: str) -> str:
    """What a page shows, as JSON: `data/versions-0012.json` of `versions/0012.html`."""
    return f"{DATA_FOLDER}/{page.removesuffix('.html').replace('/', '-')}.json"


def up(page: str) -> str:
    """A page, as a page in a folder links to it."""
    return f"../{page}"
