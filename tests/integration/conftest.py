"""Set-up shared by the integration tests; what they are written with is in harness/."""

import resource

import pytest

from harness import Redis, redis_store


def pytest_configure(config):
    config.addinivalue_line("markers", "workers: runs the gateway with several workers; the set for ThreadSanitizer")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))  # many connections at once, both ends ours


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """The machine's own proxy settings do not concern loopback."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["memory", "redis"])
def stores(request):
    """What a test runs with that must not care where things are kept: a store in memory, and one in Redis."""
    if request.param == "memory":
        yield {"default": {"type": "memory"}}
        return
    with Redis() as redis:
        yield redis_store(redis)
