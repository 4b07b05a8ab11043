"""What is asked of Label Studio: plain records in and out, over a `Connection`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import httpx
from pydantic import SecretStr

from pipeline.errors import RemoteError
from pipeline.labeling.label_studio.connection import Connection
from pipeline.labeling.label_studio.uploads import Uploads

Json = dict[str, Any]

_PROJECTS = 1000
NO_CORS = "without the header Access-Control-Allow-Origin"
"""What distinguishes a fault of an image from others."""
_HEAVY = frozenset({"annotations", "predictions"})
"""Fields that the server states of a task only where all are asked for, whichever are then included."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some tasks of a listing.

    Attributes:
        tasks: As the server states them.
        left: Tasks of the listing that come after these.
    """

    tasks: list[Json]
    left: int


class Client:
    """A session with one server.

    Args:
        url: Where the server answers.
        token: Personal access token or legacy token.
        timeout_s: Longest wait for one reply.
        transport: How requests travel; the network by default.

    Attributes:
        uploads: Files that the server keeps with a project.
        url: Where it answers, without a slash at the end.

    Every method raises `RemoteError` when the server is down or refuses. No message holds the token.
    """

    def __init__(
        self, url: str, token: SecretStr, timeout_s: float, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._connection = Connection(url, token, timeout_s, transport)
        self._sdk = self._connection.sdk
        self._read, self._find, self._make = self._connection.read, self._connection.find, self._connection.make
        self.uploads = Uploads(self._connection)
        self.url = self._connection.url

    def __repr__(self) -> str:
        """The address, never the token."""
        return f"Client({self.url!r})"

    def projects(self, title: str) -> list[Json]:
        """Projects of exactly this title."""
        # The server finds titles that contain this one; iterating the SDK's pager would ask on until a page is empty.
        page = self._read("list projects", lambda: self._sdk.projects.list(title=title, page_size=_PROJECTS))
        return [_plain(project) for project in page.items or [] if project.title == title]

    def create_project(self, **fields: Any) -> Json:
        """Make a project and give it back."""
        return _plain(self._make("create the project", lambda: self._sdk.projects.create(**fields)))

    def update_project(self, project: int, **fields: Any) -> None:
        """Set some of a project's fields."""
        self._read(f"update project {project}", lambda: self._sdk.projects.update(id=project, **fields))

    def check_config(self, project: int, label_config: str) -> None:
        """Have the server compare a label configuration with the annotations and drafts of a project.

        The server takes a configuration that lacks labels in use without a word when it is merely set.
        """
        self._read(
            f"change the labels of project {project}",
            lambda: self._sdk.projects.validate_label_config(id=project, label_config=label_config),
        )

    def views(self, project: int) -> list[Json]:
        """The Data Manager's tabs of a project."""
        found = self._read("list views", lambda: self._sdk.views.list(project=project))
        return [_plain(view) for view in found]

    def create_view(self, project: int, data: Json) -> None:
        """Add a tab to the Data Manager."""
        self._make("create a view", lambda: self._sdk.views.create(project=project, data=data))

    def delete_view(self, view: int) -> None:
        """Remove a tab."""
        self._find(f"delete view {view}", lambda: self._sdk.views.delete(id=str(view)))

    def update_view(self, project: int, view: int, data: Json) -> None:
        """Set what a tab shows."""
        self._read(f"update view {view}", lambda: self._sdk.views.update(id=str(view), project=project, data=data))

    def local_storages(self, project: int) -> list[str]:
        """Folders of the server that a project may show images from."""
        found = self._read("list storages", lambda: self._sdk.import_storage.local.list(project=project))
        return [storage.path for storage in found if storage.path]

    def create_local_storage(self, project: int, path: str, title: str) -> None:
        """Let a project show images from a folder of the server."""
        self._make(
            f"connect the folder {path}",
            lambda: self._sdk.import_storage.local.create(project=project, path=path, title=title, use_blob_urls=True),
        )

    def buckets(self, project: int, service: str) -> list[str]:
        """Buckets that a project may show images from; the service is `s3` or `gcs`."""
        found = self._read("list storages", lambda: self._storages(service).list(project=project))
        return [storage.bucket for storage in found if storage.bucket]

    def create_bucket_storage(self, project: int, service: str, **fields: Any) -> None:
        """Let a project show images from a bucket."""
        self._make(
            f"connect the bucket {fields.get('bucket')}",
            lambda: self._storages(service).create(project=project, use_blob_urls=True, **fields),
        )

    def image_fault(self, address: str) -> str | None:
        """Fetch an image as the browser of somebody who is logged in would, over redirects.

        The page draws the image into a canvas, so that a browser shows one from elsewhere only where its reply
        allows the page's origin (CORS).

        Args:
            address: A path on the server, or an address elsewhere, which never gets the token.

        Returns:
            None for an image, else what came instead.
        """
        own, page = address.startswith("/"), httpx.URL(self.url)
        origin = f"{page.scheme}://{page.netloc.decode()}"
        headers = self._read("read the token", self._connection.headers) if own else {}
        try:
            place = f"{self.url}{address}" if own else address
            reply = self._connection.http.get(place, headers={**headers, "Origin": origin})
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            return self._connection.without_token(f"{type(fault).__name__}, {fault}")
        kind = reply.headers.get("content-type", "no content type")
        place = "" if reply.url.host == httpx.URL(self.url).host else f" from {reply.url.host}"
        if not (reply.is_success and kind.startswith("image/") and reply.content):
            return f"{reply.status_code} ({kind}){place}"
        elsewhere = (reply.url.scheme, reply.url.netloc) != (page.scheme, page.netloc)
        if elsewhere and reply.headers.get("access-control-allow-origin") not in {"*", origin}:
            return f"an image{place} {NO_CORS}: {origin}"
        return None

    def import_tasks(self, project: int, tasks: Sequence[Json]) -> list[int]:
        """Add tasks with their predictions and give back the new ids, in order.

        Where its database is locked the server begins an import anew, by then without the predictions, and says so by
        nothing but their number: they are added afterwards.

        Raises:
            UncertainError: The connection was cut, or the server failed: the tasks may be there or not.
        """
        address, options = f"/api/projects/{project}/import", {"return_task_ids": "true"}
        said = self._make(
            f"import {len(tasks)} tasks", lambda: self._connection.post(address, options, json=list(tasks))
        )
        made = list(said.get("task_ids") or [])
        if len(made) != len(tasks):
            raise RemoteError(
                f"Label Studio at {self.url}: expected {len(tasks)} new tasks, got {len(made)}. Push again."
            )
        if said.get("prediction_count") == 0:
            self._add_predictions(project, dict(zip(made, tasks, strict=True)))
        return made

    def task(self, task: int) -> Json | None:
        """One task with its predictions, annotations and drafts; None where it is gone."""
        found = self._find(f"read task {task}", lambda: self._sdk.tasks.get(id=str(task)))
        return None if found is None else _plain(found)

    def update_task(self, task: int, **fields: Any) -> None:
        """Set some of a task's fields."""
        self._read(f"update task {task}", lambda: self._sdk.tasks.update(id=str(task), **fields))

    def update_prediction(self, prediction: int, **fields: Any) -> None:
        """Set some of a prediction's fields."""
        self._read(f"update prediction {prediction}", lambda: self._sdk.predictions.update(id=prediction, **fields))

    def create_prediction(self, task: int, **fields: Any) -> None:
        """Give a task a prediction."""
        self._make(f"add a prediction to task {task}", lambda: self._sdk.predictions.create(task=task, **fields))

    def accept_predictions(self, project: int) -> None:
        """Have the server make an answer of every task's prediction, as if a person had submitted it."""
        self._make(
            "accept the predictions",
            lambda: self._sdk.actions.create(id="predictions_to_annotations", project=project),
        )

    def set_data(self, project: int, tasks: Sequence[int], name: str, value: str) -> None:
        """Set one field of the data of several tasks to one text, in one request; their answers stay as they are."""
        what = {"value_name": name, "value_type": "String", "value": value}
        self._read(
            f"set {name} of {len(tasks)} tasks",
            lambda: self._sdk.actions.create(
                id="add_data_field",
                project=project,
                selected_items={"all": False, "included": list(tasks)},
                request_options={"additional_body_parameters": what},
            ),
        )

    def delete_project(self, project: int) -> None:
        """Remove a project with everything in it."""
        self._read(f"delete project {project}", lambda: self._sdk.projects.delete(id=project))

    def delete_task(self, task: int) -> None:
        """Remove a task; it may be gone already."""
        self._find(f"delete task {task}", lambda: self._sdk.tasks.delete(id=str(task)))

    def tasks(
        self, project: int, include: Sequence[str], filters: Sequence[Json] = (), page_size: int = 1000
    ) -> Iterator[Page]:
        """List tasks by ascending id.

        Each page asks for ids above the last one seen, so that a task which changes meanwhile is never missed. While
        the caller works on a page the server prepares the next one, and never more than that.

        Args:
            project: The project.
            include: Fields to fetch. A field less saves the server time: all of a task take it thrice as long as what a
                harvest needs. Those of annotations are named beside those of tasks.
            filters: All of these must hold, as the Data Manager writes them.
            page_size: Tasks a page.

        Yields:
            Pages; none for an empty listing.
        """

        def after(last: int) -> Page:
            above = {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": last}
            query = {"filters": {"conjunction": "and", "items": [above, *filters]}, "ordering": ["tasks:id"]}
            return self._read("list tasks", partial(self._page, project, query, page_size, include))

        with ThreadPoolExecutor(1) as ahead:
            page = after(0)
            while page.tasks:
                coming = ahead.submit(after, page.tasks[-1]["id"]) if page.left else None
                yield page
                if coming is None:
                    return
                page = coming.result()

    def people(self) -> dict[int, str]:
        """E-mail addresses of users by id."""
        found = self._read("list users", lambda: self._sdk.users.list())
        return {person.id: person.email for person in found if person.id is not None and person.email}

    def _add_predictions(self, project: int, tasks: Mapping[int, Json]) -> None:
        """Give new tasks the predictions that they were sent with."""
        lost = [{"task": task, **each} for task, sent in tasks.items() for each in sent.get("predictions") or []]
        if lost:
            self._make(
                f"add {len(lost)} predictions", lambda: self._sdk.projects.import_predictions(project, request=lost)
            )

    def _storages(self, service: str) -> Any:
        return getattr(self._sdk.import_storage, service)

    def _page(self, project: int, query: Json, page_size: int, include: Sequence[str]) -> Page:
        pager = self._sdk.tasks.list(
            project=project,
            query=json.dumps(query),
            page_size=page_size,
            include=list(include),
            resolve_uri=False,
            **({} if _HEAVY.isdisjoint(include) else {"fields": "all"}),
        )
        tasks = [_plain(task) for task in pager.items or []]
        return Page(tasks, pager.response.total - len(tasks))


def _plain(item: Any) -> Json:
    return cast(Json, item.model_dump(mode="json"))
