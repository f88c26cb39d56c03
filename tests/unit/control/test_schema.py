"""config/sluice.schema.json, held against the configurations that must be right and some that must be wrong."""

import copy
import glob
import json
import os
import re

import jsonschema
import pytest
import yaml

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
SCHEMA = json.load(open(os.path.join(ROOT, "config", "sluice.schema.json"), encoding="utf-8"))
EXAMPLES = sorted(glob.glob(ROOT + "/config/*.yaml") + glob.glob(ROOT + "/config/examples/*.yaml"))
MINIMAL = {"version": 1, "listeners": {"a": {"address": "0.0.0.0:80"}},
           "upstreams": {"u": {"endpoints": ["127.0.0.1:1"]}},
           "routes": [{"match": {"path": "/"}, "upstream": "u"}]}


class Yaml12(yaml.SafeLoader):
    """As YAML 1.2 and Sluice see it: true and false are booleans, off and 1:30 are not values of their own."""


Yaml12.yaml_implicit_resolvers = {first: [(tag, expression) for tag, expression in rows
                                          if not tag.endswith((":bool", ":timestamp", ":int"))]
                                  for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()}
Yaml12.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|false)$"), "tf")
Yaml12.add_implicit_resolver("tag:yaml.org,2002:int", re.compile("^[0-9]+$"), "0123456789")


def errors_of(configuration):
    return [f"{list(error.path)}: {error.message}"
            for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(configuration)]


def changed(path, value):
    """MINIMAL with the value at `path` replaced, or with None removed."""
    configuration = copy.deepcopy(MINIMAL)
    place = configuration
    for key in path[:-1]:
        place = place.setdefault(key, {}) if isinstance(place, dict) else place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return configuration


def test_the_schema_is_a_valid_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: os.path.relpath(path, ROOT))
def test_every_example_is_accepted(path):
    with open(path, encoding="utf-8") as file:
        assert errors_of(yaml.load(file, Yaml12)) == []


def test_there_are_examples():
    assert len(EXAMPLES) >= 8


@pytest.mark.parametrize("path, value", [
    (("process",), {"workers": "auto"}), (("process",), {"workers": 4}), (("process",), {"workers": "${WORKERS}"}),
    (("access_log",), "off"), (("admin",), {"listen": "off"}), (("routes", 0, "timeout"), "1m30s"),
    (("routes", 0, "match", "headers"), {"x-a": True, "x-b": 1}),
    (("upstreams", "u", "endpoints"), ["users.internal:80", {"dns": "users.internal:80", "weight": 2}]),
    (("stores",), {"a": {"type": "memory", "max_bytes": "1GiB"},
                   "b": {"type": "redis", "address": ["unix:/run/redis.sock"], "db": 1}}),
    (("process",), {"dns": {"servers": ["10.0.0.2", "[::1]:5353"], "timeout": "500ms"}}),
])
def test_what_compile_accepts_is_accepted(path, value):
    assert errors_of(changed(path, value)) == []


@pytest.mark.parametrize("path, value", [
    (("version",), 2), (("version",), None), (("listeners",), None), (("listeners", "a", "address"), None),
    (("listeners", "a", "adress"), "x"), (("listeners", "a", "tls"), {}), (("stores",), {"s": {}}),
    (("stores",), {"s": {"type": "disk"}}), (("stores",), {"s": {"type": "redis", "address": "127.0.0.1:1"}}),
    (("process",), {"workers": 0}), (("process",), {"shutdown_grace": "5 s"}), (("process",), {"shutdown_grace": 5}),
    (("upstreams", "u", "balance"), "ring_hash"), (("upstreams", "u", "endpoints"), "127.0.0.1:1"),
    (("upstreams", "u", "endpoints"), [{"weight": 2}]),
    (("upstreams", "u", "endpoints"), [{"address": "127.0.0.1:1", "dns": "a:1"}]),
    (("upstreams", "u", "endpoints"), [{"dns": "users.internal"}]),
    (("routes", 0, "upstream"), None), (("routes", 0, "respond"), {}), (("routes", 0, "match"), {}),
])
def test_what_compile_refuses_is_refused(path, value):
    assert errors_of(changed(path, value)) != []
