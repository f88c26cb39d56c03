"""The arithmetic and the distrust of scripts/bench: figures are medians of ratios within a round, and an answer that is not as
it should be makes a figure void."""

import pathlib
import socket
import sys
import threading

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts" / "bench"))

import load  # noqa: E402
import peers  # noqa: E402
import rounds  # noqa: E402

GET = rounds.SCENARIOS[0]


def figures(**micros_by_name):
    return {name: [rounds.Figure(m / 1e6, 1, 1.0) for m in micros] for name, micros in micros_by_name.items()}


def test_a_ratio_is_the_median_over_rounds_of_the_ratio_within_a_round():
    # The machine was three times as slow in the second round; the ratio does not see it.
    assert rounds.ratio(figures(sluice=[8, 24, 8], nginx=[10, 30, 9]), "sluice", "nginx") == pytest.approx(0.8)


def test_the_better_peer_is_the_one_against_which_sluice_does_worse():
    row = rounds.row(GET, figures(sluice=[8, 8], nginx=[10, 10], haproxy=[16, 16]))
    assert row.startswith("| 128-byte GET, 64 connections | **0.80** | 0.80 | 0.80 | 0.50 | 8.0 / 10.0 / 16.0 |")


@pytest.fixture
def answers():
    """A server that gives one fixed answer to every request on one connection; returns its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def start(answer):
            def serve():
                connection, _ = listener.accept()
                with connection:
                    while connection.recv(65536):
                        connection.sendall(answer)

            threading.Thread(target=serve, daemon=True).start()
            return listener.getsockname()[1]

        yield start


def test_the_client_counts_the_whole_answer(answers):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 128\r\n\r\n" + b"x" * 128
    assert load.response_bytes(answers(answer), GET) == len(answer)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 127\r\n\r\n" + b"x" * 127,
        b"HTTP/1.1 503 No\r\nContent-Length: 128\r\n\r\n" + b"x" * 128,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_an_answer_of_another_length_or_status_voids_the_figure(answers, answer):
    port = answers(answer)
    with pytest.raises(peers.BenchError, match="not a 200 with 128 bytes"):
        load.response_bytes(port, GET)


def test_a_process_that_ends_at_once_is_reported_with_what_it_said(tmp_path):
    core = min(peers.os.sched_getaffinity(0))
    command = ["sh", "-c", "echo out of luck >&2; exit 1"]
    with pytest.raises(peers.BenchError, match="out of luck"):
        with peers.Peer("sluice", command, peers.free_port(), tmp_path, core):
            pass


def test_a_process_that_dies_during_the_load_is_reported_with_what_it_said(tmp_path):
    core = min(peers.os.sched_getaffinity(0))
    port = peers.free_port()
    server = "import socket,sys; s=socket.create_server(('127.0.0.1',%d)); s.accept(); s.accept(); sys.exit('assertion failed')"
    with pytest.raises(peers.BenchError, match="(?s)ended by itself with status 1.*assertion failed"):
        with peers.Peer("sluice", [sys.executable, "-c", server % port], port, tmp_path, core) as peer:
            socket.create_connection(("127.0.0.1", port)).close()
            peer.process.wait(10)
