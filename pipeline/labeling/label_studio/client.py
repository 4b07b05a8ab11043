"""The only door to the Label Studio SDK: plain records in and out, bounded retries, faults a person can act on.

Retries wait for nothing but the network. A call that only reads, or that sets what is set already, is tried again
after any broken connection; a call that makes something is tried again only where the server surely did nothing, so
that a lost reply never makes a thing twice. A server that says how long to wait is believed, within bounds.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

import httpx
import stamina
from label_studio_sdk import LabelStudio
from label_studio_sdk.core.api_error import ApiError
from label_studio_sdk.core.client_wrapper import SyncClientWrapper
from label_studio_sdk.core.parse_error import ParsingError
from label_studio_sdk.label_interface.interface import LabelInterface
from pydantic import SecretStr

from pipeline.errors import RemoteError, UncertainError

Json = dict[str, Any]
Result = TypeVar("Result")

_ATTEMPTS = 5
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 8.0
_LONGEST_CALL_S = 120.0
"""No further try begins after that: a server that hangs is down."""
_NOT_DONE = frozenset({429, 503})
_PERHAPS_DONE = frozenset({500, 502, 504})
_CUT = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
_CUT_CODES = frozenset({500, 502})
_LONGEST_RETRY_AFTER_S = 60.0
_BEARER = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
"""What the SDK trades a personal access token for; a server or a proxy may send it back in an error."""
_DETAIL_LENGTH = 600
_PROJECTS = 1000
_SERVER_FAULT = (
    "The fault is the server's: see its log and load, start it anew, then run again; what was done is not done twice."
)
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

    Every method raises `RemoteError` when the server is down or refuses. No message holds the token.
    """

    def __init__(
        self, url: str, token: SecretStr, timeout_s: float, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._http = httpx.Client(timeout=timeout_s, follow_redirects=True, transport=transport)
        access: dict[str, Any] = {
            # The SDK loses a path in the address when it trades the token, unless a slash ends it.
            "base_url": f"{self.url}/",
            "api_key": token.get_secret_value(),
            "max_retries": 0,
        }
        self._sdk: Any = self._attempt("read the token", lambda: LabelStudio(**access, httpx_client=self._http))
        self._headers = SyncClientWrapper(**access, httpx_client=self._http).get_headers

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
        self._read(f"delete view {view}", lambda: self._gone_or(lambda: self._sdk.views.delete(id=str(view))))

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
        headers = self._read("read the token", self._headers) if own else {}
        try:
            reply = self._http.get(f"{self.url}{address}" if own else address, headers={**headers, "Origin": origin})
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            return f"{type(fault).__name__}, {fault}".replace(self._token.get_secret_value(), "[token]")
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

        Raises:
            UncertainError: The connection was cut, or the server failed: the tasks may be there or not.
        """
        reply = self._make(
            f"import {len(tasks)} tasks",
            lambda: self._sdk.projects.import_tasks(project, request=list(tasks), return_task_ids=True),
        )
        made = list(_plain(reply).get("task_ids") or [])
        if len(made) != len(tasks):
            raise RemoteError(
                f"Label Studio at {self.url}: expected {len(tasks)} new tasks, got {len(made)}. Push again."
            )
        return made

    def task(self, task: int) -> Json | None:
        """One task with its predictions, annotations and drafts; None where it is gone."""
        return self._read(f"read task {task}", lambda: self._get(task))

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
        self._read(f"delete task {task}", lambda: self._gone_or(lambda: self._sdk.tasks.delete(id=str(task))))

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

    def _get(self, task: int) -> Json | None:
        try:
            return _plain(self._sdk.tasks.get(id=str(task)))
        except ApiError as fault:
            if fault.status_code != httpx.codes.NOT_FOUND:
                raise
            return None

    def _gone_or(self, delete: Callable[[], None]) -> None:
        try:
            delete()
        except ApiError as fault:
            if fault.status_code != httpx.codes.NOT_FOUND:
                raise

    def _read(self, doing: str, call: Callable[[], Result]) -> Result:
        return self._attempt(doing, call, _NOT_DONE | _PERHAPS_DONE, (httpx.TransportError,))

    def _make(self, doing: str, call: Callable[[], Result]) -> Result:
        return self._attempt(doing, call, _NOT_DONE, (httpx.ConnectError, httpx.ConnectTimeout))

    def _attempt(
        self,
        doing: str,
        call: Callable[[], Result],
        codes: frozenset[int] = frozenset(),
        broken: tuple[type[httpx.TransportError], ...] = (),
    ) -> Result:
        def may_help(fault: Exception) -> bool | float:
            if isinstance(fault, ApiError):
                return fault.status_code in codes and (_retry_after(fault) or True)
            # No JSON where the token is traded: something between us and the server answered.
            return isinstance(fault, (*broken, json.JSONDecodeError))

        retrying = stamina.RetryingCaller(
            attempts=_ATTEMPTS, timeout=_LONGEST_CALL_S, wait_initial=_FIRST_WAIT_S, wait_max=_LONGEST_WAIT_S
        )
        try:
            return retrying(may_help, call)
        except (ApiError, ParsingError, httpx.HTTPError, json.JSONDecodeError) as fault:
            text = self._explain(doing, fault).replace(self._token.get_secret_value(), "[token]")
            text = _BEARER.sub("[token]", text)
            cut = isinstance(fault, _CUT) or (isinstance(fault, ApiError) and fault.status_code in _CUT_CODES)
        # Raised outside of the handler: the SDK's fault holds the request with its token, and must not travel along.
        raise UncertainError(text) if cut else RemoteError(text)

    def _explain(self, doing: str, fault: ApiError | ParsingError | httpx.HTTPError | json.JSONDecodeError) -> str:
        what = f"Label Studio at {self.url}: could not {doing}"
        if isinstance(fault, json.JSONDecodeError):
            return f"{what}: the token could not be traded, expected JSON, got {fault.doc[:_DETAIL_LENGTH]!r}"
        if isinstance(fault, httpx.TimeoutException):
            return f"{what}: {type(fault).__name__}, no reply within {self._http.timeout.read:g} s. {_SERVER_FAULT}"
        if isinstance(fault, httpx.HTTPError):
            return (
                f"{what}: {type(fault).__name__}, {fault}. Is the server running, and is labeling.label_studio.url "
                f"right? `make label-studio` starts one on this machine."
            )
        status = fault.status_code
        if status == httpx.codes.UNAUTHORIZED:
            return (
                f"{what}: it refuses the token (401). Copy a valid access token from the account page of "
                f"Label Studio into the environment variable LABEL_STUDIO_API_KEY."
            )
        if status == httpx.codes.FORBIDDEN:
            return f"{what}: the token's user may not (403). Use the token of a user who may manage the project."
        next_step = f" {_SERVER_FAULT}" if status is not None and status >= httpx.codes.INTERNAL_SERVER_ERROR else ""
        return f"{what}: got {status}: {_detail(fault.body)}{next_step}"


def prediction_checker(label_config: str) -> Callable[[Json], list[str]]:
    """Build the check that a prediction must pass before it is sent.

    The server itself takes unknown labels and drops broken predictions without a word.

    Args:
        label_config: Of the project.

    Returns:
        A function that gives what is wrong with a prediction; an empty list for nothing.
    """
    interface = LabelInterface(label_config)

    def faults(prediction: Json) -> list[str]:
        return [str(fault) for fault in interface.validate_prediction(prediction, return_errors=True)]

    return faults


def _retry_after(fault: ApiError) -> float | None:
    """Seconds that the server asks to wait for, at most a minute; None where it does not say, or says a date."""
    headers = {name.lower(): value for name, value in (fault.headers or {}).items()}
    try:
        seconds = float(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return min(seconds, _LONGEST_RETRY_AFTER_S) if math.isfinite(seconds) and seconds > 0 else None


def _plain(item: Any) -> Json:
    return cast(Json, item.model_dump(mode="json"))


def _detail(body: Any) -> str:
    if isinstance(body, Mapping):
        body = body.get("validation_errors") or body.get("detail") or body
    return (body if isinstance(body, str) else json.dumps(body, default=str))[:_DETAIL_LENGTH]
