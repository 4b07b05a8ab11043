"""Start a Label Studio server for one person on this machine: `make label-studio`.

The server's data, its password and its access token lie in one folder (`data/label-studio/` by default), the secrets
in files that only the owner may read. It listens on localhost alone, sends no telemetry, lets nobody sign up without an
invitation, and may serve images below the document root once a project connects their folder.

Only the standard library and httpx, which the server brings along, are used: the script runs in the server's own
environment, and the tests start their server with the same code.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

EMAIL = "crosscheck@localhost.local"
START_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 20.0
_SET_PARENT_DEATH_SIGNAL = 1


class ServerError(Exception):
    """The server cannot be started or does not let us in."""


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        url: Where it answers, without a slash at the end.
        email: Whom to log in as.
        folder: Where its data and the files `password` and `api_key` lie.
        password: Of that user; never printed.
        api_key: A personal access token of that user; never printed.
    """

    url: str
    email: str
    folder: Path
    password: str = field(repr=False)
    api_key: str = field(repr=False)


@contextmanager
def running(executable: Path, folder: Path, document_root: Path, port: int) -> Iterator[Server]:
    """Run a server until the block ends, however it ends.

    Args:
        executable: The `label-studio` command of the server's environment.
        folder: Holds the database, the log and the secrets; made when missing, used again when there.
        document_root: Images below it may be served.
        port: Local port, must be free.

    Yields:
        The server, answering and with an access token.

    Raises:
        ServerError: The executable is missing, the port is taken, or the server ends or stays silent.
    """
    if not executable.is_file():
        raise ServerError(f"Expected the server at {executable}, found nothing. Run `make label-studio-install` first.")
    if _is_taken(port):
        raise ServerError(
            f"Expected port {port} to be free, something answers there. Choose another: LABEL_STUDIO_PORT."
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    password = _secret(folder / "password") or _keep(folder / "password", secrets.token_urlsafe(18))
    url = f"http://localhost:{port}"
    log = folder / "server.log"
    with open(log, "ab") as output:
        process = subprocess.Popen(
            [executable, "start", "--no-browser", "--internal-host", "localhost", "--port", str(port)],
            env=_environment(folder, document_root, password),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
    try:
        _wait_until_ready(process, url, log)
        yield Server(url, EMAIL, folder, password, _access_token(url, password, folder / "api_key"))
    finally:
        _stop(process)


@contextmanager
def logged_in(url: str, email: str, password: str) -> Iterator[httpx.Client]:
    """Open a session as the page does.

    Args:
        url: The server.
        email: The user.
        password: Of the user.

    Yields:
        A client with the session's cookies that sends what the server wants against forged requests.

    Raises:
        ServerError: The server refuses the password.
    """
    with httpx.Client(base_url=url, headers={"Referer": url}, timeout=60.0) as session:
        session.get("/user/login/").raise_for_status()
        form = {"email": email, "password": password, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
        session.post("/user/login/", data=form)
        if "sessionid" not in session.cookies:
            raise ServerError(f"{url}: expected to log in as {email}, the server refused. Was its password changed?")
        session.headers["X-CSRFToken"] = session.cookies["csrftoken"]
        yield session


def free_port() -> int:
    """A local port that nothing uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) == 0


def _environment(folder: Path, document_root: Path, password: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LABEL_STUDIO_")}
    return inherited | {
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder.resolve()),
        "LABEL_STUDIO_USERNAME": EMAIL,
        "LABEL_STUDIO_PASSWORD": password,
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(document_root.resolve()),
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
    }


def _die_with_parent() -> None:
    # A killed parent runs no clean-up, and a forgotten server would hold its port and its database.
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    give_up = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise ServerError(
                f"The server ended with {process.returncode} while starting; the end of {log}:\n{_tail(log)}"
            )
        try:
            if httpx.get(f"{url}/health", timeout=5.0).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise ServerError(f"{url} is silent after {START_TIMEOUT_S:.0f} s; the end of {log}:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


def _access_token(url: str, password: str, file: Path) -> str:
    kept = _secret(file)
    if kept and httpx.post(f"{url}/api/token/refresh/", json={"refresh": kept}, timeout=60.0).is_success:
        return kept
    with logged_in(url, EMAIL, password) as session:
        made = session.post("/api/token/")
    if made.is_error:
        raise ServerError(
            f"{url}: expected a new access token, got {made.status_code}. Log in as {EMAIL}, revoke the old token on "
            f"the account page, and start again."
        )
    return _keep(file, made.json()["token"])


def _secret(file: Path) -> str:
    return file.read_text().strip() if file.exists() else ""


def _keep(file: Path, secret: str) -> str:
    file.unlink(missing_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
        output.write(secret + "\n")
    return secret


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Start Label Studio on this machine; Ctrl-C stops it.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--folder", type=Path, default=Path("data/label-studio"), help="database, log and secrets")
    parser.add_argument("--document-root", type=Path, default=Path(), help="images below it may be shown")
    parser.add_argument("--executable", type=Path, default=Path(sys.executable).with_name("label-studio"))
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the server until Ctrl-C.

    Returns:
        The exit status: 0 after Ctrl-C, 1 when the server could not be used.
    """
    given = _parse(arguments)
    for stop in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs start with SIGINT ignored
        signal.signal(stop, signal.default_int_handler)
    print("Label Studio is starting; the first start takes about a minute.", flush=True)
    try:
        with running(given.executable, given.folder, given.document_root, given.port) as server:
            print(
                f"Label Studio answers at {server.url}\n"
                f"  log in as {server.email} with the password in {server.folder / 'password'}\n"
                f"  let crosscheck in:  export LABEL_STUDIO_API_KEY=$(cat {server.folder / 'api_key'})\n"
                f"  settings:           labeling.label_studio.url={server.url}\n"
                f"                      labeling.label_studio.document_root={given.document_root.resolve()}\n"
                f"  Ctrl-C stops it.",
                flush=True,
            )
            while True:  # signal.pause() would sleep through a signal that came just before it
                time.sleep(1.0)
    except KeyboardInterrupt:
        print("Label Studio is stopped.")
        return 0
    except ServerError as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
