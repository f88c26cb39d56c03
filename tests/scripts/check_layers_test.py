"""scripts/check_layers.py on made-up trees: what it lets pass, and that each kind of offence is named with file and line."""

import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "check_layers.py"

FLOORS = """\
sluice_floor(base THIRD fmt::fmt)
sluice_floor(http USES base)
sluice_floor(event USES base THIRD PkgConfig::UV)
sluice_floor(proxy USES base http event)
"""


@pytest.fixture
def tree(tmp_path):
    """Writes files (path -> text) into a tree with four floors, runs the check, returns (exit status, output)."""

    def run(files, floors=FLOORS):
        for path, text in {"daemon/CMakeLists.txt": floors, **files}.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        done = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False)
        assert done.stderr == ""
        return done.returncode, done.stdout

    return run


def test_a_folder_may_include_itself_what_it_uses_and_the_system(tree):
    status, out = tree(
        {
            "daemon/base/log.h": "#include <fmt/format.h>\n#include <string>\n",
            "daemon/event/loop.h": '#include <sys/epoll.h>\n#include <uv.h>\n#include "base/log.h"\n#include "event/x.h"\n',
            "daemon/proxy/exchange.cc": '#include "event/loop.h"\n#  include "http/uri.h"\n',
            "daemon/main.cc": '#include "proxy/exchange.h"\n',
        }
    )
    assert (status, out) == (0, "check_layers: 9 includes, 0 outside their floor\n")


@pytest.mark.parametrize(
    ("path", "line", "said"),
    [
        ("daemon/http/uri.cc", '#include "event/loop.h"', "http -> event: http may include base"),
        ("daemon/base/log.cc", '#include "http/uri.h"', "base -> http: base may include no other folder"),
        ("daemon/http/uri.cc", "#include <uv.h>", "http -> <uv.h>: only event may include it"),
        ("daemon/main.cc", "#include <fmt/format.h>", "main -> <fmt/format.h>: only base may include it"),
        ("daemon/http/uri.cc", "#include <boost/asio.hpp>", "http -> <boost/asio.hpp>: not a library that any floor names"),
        ("daemon/http/uri.cc", '#include "message.h"', 'http -> "message.h": write the folder'),
        ("daemon/http/uri.cc", '#include "../event/loop.h"', 'http -> "../event/loop.h": write the folder'),
        ("daemon/attic/old.cc", "", "attic has no sluice_floor line"),
        ("plugins/jwt/jwt.cc", '#include "base/log.h"', "plugins/jwt -> daemon"),
        ("plugins/jwt/jwt.cc", '#include "../../daemon/base/log.h"', "plugins/jwt -> daemon"),
    ],
)
def test_an_include_from_the_wrong_floor_is_named_with_file_line_and_pair(tree, path, line, said):
    status, out = tree({path: f"\n{line}\n"})
    where = f"{path}:1: " if said.startswith("attic") else f"{path}:2: "
    assert status == 1
    assert out.startswith(where + said)
    assert out.endswith("1 outside their floor\n")


def test_plugins_see_the_abi_what_is_common_and_themselves_but_not_each_other(tree):
    status, out = tree(
        {
            "plugins/abi.h": "#include <stdint.h>\n",
            "plugins/common/json.h": "",
            "plugins/session/session.h": '#include "abi.h"\n#include "common/json.h"\n#include "session/session.h"\n',
            "plugins/jwt/jwt.cc": '#include "session/session.h"\n',
        }
    )
    assert status == 1
    assert out == "plugins/jwt/jwt.cc:1: plugins/jwt -> plugins/session\ncheck_layers: 5 includes, 1 outside their floor\n"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("sluice_floor(low USES proxy high)", "low uses high, which is not a lower floor"),
        ("sluice_floor(tls USES base THIRD PkgConfig::UV)", "PkgConfig::UV belongs to event, but tls names it too"),
        ("sluice_floor(tls USES base THIRD Botan::Botan)", "tls names Botan::Botan; add its headers to HEADERS_OF"),
    ],
)
def test_a_table_that_contradicts_itself_is_an_offence(tree, row, said):
    status, out = tree({}, FLOORS + row + "\n")
    assert status == 1
    assert f"daemon/CMakeLists.txt: {said}\n" in out


def test_a_tree_without_a_table_is_an_offence(tree):
    status, out = tree({}, floors="")
    assert status == 1
    assert "no sluice_floor line found" in out
