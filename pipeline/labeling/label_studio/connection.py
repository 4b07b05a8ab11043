"""A connection to Label Studio: bounded retries, and faults that a person can act on.

Retries wait for nothing but the network. A call that only reads, or that sets what is set already, is tried again
after any broken connection; a call that makes something is tried again only where the server surely did nothing, so
that a lost reply never makes a thing twice. A server that says how long to wait is believed, within bounds.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Set
from typing import Any, TypeVar

import httpx
import stamina
from label_studio_sdk import LabelStudio
from label_studio_sdk.core.api_error import ApiError
from label_studio_sdk.core.client_wrapper import SyncClientWrapper
from label_studio_sdk.core.parse_error import ParsingError
from pydantic import SecretStr

from pipeline.errors import RemoteError, UncertainError

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
_SERVER_FAULT = (
    "The fault is the server's: see its log and load, start it anew, then run again; what was done is not done twice."
)


class Connection:
    """The SDK, and what every call of it goes through.

    Args:
        url: Where the server answers.
        token: Personal access token or legacy token.
        timeout_s: Longest wait for one reply.
        transport: How requests travel; the network by default.

    Attributes:
        url: Likewise, without a slash at its end.
        http: For requests that the SDK does not make.
        sdk: What it makes; `read` and `make` call it.
        headers: Gives those that log the token's user in.

    Every method raises `RemoteError` when the server is down or refuses. No message holds the token.
    """

    def __init__(
        self, url: str, token: SecretStr, timeout_s: float, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self.http = httpx.Client(timeout=timeout_s, follow_redirects=True, transport=transport)
        access: dict[str, Any] = {
            # The SDK loses a path in the address when it trades the token, unless a slash ends it.
            "base_url": f"{self.url}/",
            "api_key": token.get_secret_value(),
            "max_retries": 0,
        }
        self.sdk: Any = self._attempt("read the token", lambda: LabelStudio(**access, httpx_client=self.http))
        self.headers = SyncClientWrapper(**access, httpx_client=self.http).get_headers

    def without_token(self, text: str) -> str:
        """A text that may be shown."""
        return _BEARER.sub("[token]", text.replace(self._token.get_secret_value(), "[token]"))

    def post(self, path: str, params: Mapping[str, str], fine: Set[int] = frozenset(), **body: Any) -> Any:
        """Post what the SDK does not, or copies value by value before it sends it.

        Args:
            path: On the server.
            params: Of the address.
            fine: Status codes beside those of success that are no fault.
            body: As httpx takes it, such as `json` or `files`.

        Returns:
            The reply's JSON.

        Raises:
            ApiError: The server refused, as the SDK says it.
        """
        reply = self.http.post(f"{self.url}{path}", params=params, headers=self.headers(), **body)
        try:
            said = reply.json()
        except json.JSONDecodeError:
            # Raised as it is, it would pass for a fault before anything was sent.
            raise ApiError(status_code=reply.status_code, headers=dict(reply.headers), body=reply.text) from None
        if not (reply.is_success or reply.status_code in fine):
            raise ApiError(status_code=reply.status_code, headers=dict(reply.headers), body=said)
        return said

    def read(self, doing: str, call: Callable[[], Result]) -> Result:
        """Make a call that only reads, or that sets what may be set already.

        Args:
            doing: What for, in words that follow "could not".
            call: Asks the server.
        """
        return self._attempt(doing, call, _NOT_DONE | _PERHAPS_DONE, (httpx.TransportError,))

    def find(self, doing: str, call: Callable[[], Result]) -> Result | None:
        """As `read`; None where the server does not have the thing."""

        def unless_gone() -> Result | None:
            try:
                return call()
            except ApiError as fault:
                if fault.status_code != httpx.codes.NOT_FOUND:
                    raise
                return None

        return self.read(doing, unless_gone)

    def make(self, doing: str, call: Callable[[], Result]) -> Result:
        """Make a call that makes something, see `read`.

        Raises:
            UncertainError: The connection was cut, or the server failed: it may be made or not.
        """
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
            text = self.without_token(self._explain(doing, fault))
            cut = isinstance(fault, _CUT) or (isinstance(fault, ApiError) and fault.status_code in _CUT_CODES)
        # Raised outside of the handler: the SDK's fault holds the request with its token, and must not travel along.
        raise UncertainError(text) if cut else RemoteError(text)

    def _explain(self, doing: str, fault: ApiError | ParsingError | httpx.HTTPError | json.JSONDecodeError) -> str:
        what = f"Label Studio at {self.url}: could not {doing}"
        if isinstance(fault, json.JSONDecodeError):
            return f"{what}: the token could not be traded, expected JSON, got {fault.doc[:_DETAIL_LENGTH]!r}"
        if isinstance(fault, httpx.TimeoutException):
            return f"{what}: {type(fault).__name__}, no reply within {self.http.timeout.read:g} s. {_SERVER_FAULT}"
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


def _retry_after(fault: ApiError) -> float | None:
    """Seconds that the server asks to wait for, at most a minute; None where it does not say, or says a date."""
    headers = {name.lower(): value for name, value in (fault.headers or {}).items()}
    try:
        seconds = float(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return min(seconds, _LONGEST_RETRY_AFTER_S) if math.isfinite(seconds) and seconds > 0 else None


def _detail(body: Any) -> str:
    if isinstance(body, Mapping):
        body = body.get("validation_errors") or body.get("detail") or body
    return (body if isinstance(body, str) else json.dumps(body, default=str))[:_DETAIL_LENGTH]
