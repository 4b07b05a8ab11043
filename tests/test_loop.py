"""A step whose remote service fails: tried again where nobody watches, noted where it fails for longer."""

from __future__ import annotations

import pytest
import stamina

from pipeline.errors import RemoteError
from pipeline.loop import Step, Surroundings, begin_cycle, run_cycle, run_steps
from pipeline.settings import load_settings
from tests.end_to_end.project import write_config


@pytest.fixture
def settings(tmp_path, tiny_data):
    return load_settings(write_config(tmp_path, tiny_data))


class Service:
    """One that fails some times, and what was noted of it."""

    def __init__(self, failures):
        self.failures, self.asked, self.noted = failures, 0, []

    def step(self):
        return Step("ask", self.ask, lambda _cycle, why: self.noted.append(why))

    def ask(self, _cycle, _around):
        self.asked += 1
        if self.asked <= self.failures:
            raise RemoteError(f"down {self.asked}")


def patient(seconds):
    return Surroundings(lambda _settings: None, patience_s=seconds)


def test_a_service_that_comes_back_is_waited_for(settings, caplog):
    service = Service(3)
    with stamina.set_testing(True, attempts=9, cap=True):
        run_steps(begin_cycle(settings), [service.step()], patient(60))
    assert (service.asked, service.noted) == (4, [])
    assert "ask failed, it is tried again for up to 60 s: down 1" in caplog.text


def test_one_that_stays_away_is_noted(settings):
    service = Service(9)
    with stamina.set_testing(True, attempts=3, cap=True):
        run_steps(begin_cycle(settings), [service.step()], patient(60))
    assert (service.asked, service.noted) == (3, ["down 3"])


def test_whoever_watches_is_told_at_once(settings):
    service = Service(1)
    run_steps(begin_cycle(settings), [service.step()], patient(0))
    assert (service.asked, service.noted) == (1, ["down 1"])


def test_a_step_that_cannot_be_left_out_ends_the_run(settings):
    service = Service(1)
    with pytest.raises(RemoteError, match="down 1"):
        run_steps(begin_cycle(settings), [Step("import", service.ask)], patient(60))
    assert service.asked == 1


@pytest.mark.parametrize(("wait_s", "seconds"), [(0, 0), (60, 300)])
def test_a_scheduled_cycle_is_patient(settings, wait_s, seconds):
    class Stop(Exception):
        """Ends the run at its first step."""

    seen = []

    def call(_step, _cycle, run):
        seen.append(run.args[1].patience_s)
        raise Stop

    with pytest.raises(Stop):
        run_cycle(settings, patient(0), call, wait_s)
    assert seen == [seconds]
