"""Who may reach the service and the page, and which signals stop them."""

import signal

import pytest

from facestats.core.config import ConfigError
from facestats.surfaces.listening import read_secret, stopped_by


def test_other_machines_need_a_secret_unless_everybody_may_come_in(monkeypatch):
    monkeypatch.delenv("FACESTATS_TEST", raising=False)
    assert read_secret("FACESTATS_TEST", "127.0.0.1", open_to_all=False) is None
    assert read_secret("FACESTATS_TEST", "0.0.0.0", open_to_all=True) is None
    with pytest.raises(ConfigError, match="set FACESTATS_TEST, or add --i-know"):
        read_secret("FACESTATS_TEST", "0.0.0.0", open_to_all=False)
    monkeypatch.setenv("FACESTATS_TEST", "secret")
    assert read_secret("FACESTATS_TEST", "0.0.0.0", open_to_all=False) == "secret"


def stop(number, frame):
    raise SystemExit(128 + number)


@pytest.fixture
def ctrl_c():
    """Ctrl-C works, although a program in the background may ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_block_and_the_handlers_from_before_come_back(number):
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(SystemExit if number == signal.SIGTERM else KeyboardInterrupt), stopped_by(stop):
        signal.raise_signal(number)
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before


def test_ctrl_c_stays_switched_off():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stopped_by(stop):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
