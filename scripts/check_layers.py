#!/usr/bin/python3
"""Keeps the house in its floors (DESIGN: daemon/README.md).

Reads the table of floors from daemon/CMakeLists.txt (the `sluice_floor` lines) and compares every #include in daemon/ and
plugins/ with it. A folder includes itself and the folders that it USES; a third-party header is included only by the one
folder whose line names its library under THIRD. Prints each offence as file:line and the pair, and exits 1 if there is any.

    scripts/check_layers.py [ROOT]
"""

import pathlib
import re
import sys
from typing import NamedTuple

# Which headers come with a CMake target that a floor may name under THIRD.
HEADERS_OF = {
    "fmt::fmt": ["fmt/"],
    "spdlog::spdlog": ["spdlog/"],
    "PkgConfig::UV": ["uv.h"],
    "PkgConfig::PCRE2": ["pcre2.h"],
    "PkgConfig::YAML": ["yaml.h"],
    "OpenSSL::SSL": ["openssl/"],
    "PkgConfig::NGHTTP2": ["nghttp2/"],
    "PkgConfig::HIREDIS": ["hiredis/"],
    "PkgConfig::CARES": ["ares.h"],
    "PkgConfig::SYSTEMD": ["systemd/"],
    "Threads::Threads": [],
}

# Headers of the system: any folder may include them. C++'s own have neither a dot nor a slash.
SYSTEM_FOLDERS = ("sys/", "netinet/", "arpa/", "net/", "linux/", "bits/", "sanitizer/")
SYSTEM_HEADERS = set(
    """dirent.h dlfcn.h errno.h execinfo.h fcntl.h fnmatch.h getopt.h glob.h grp.h ifaddrs.h limits.h locale.h malloc.h netdb.h poll.h
    pthread.h pwd.h sched.h semaphore.h signal.h stddef.h stdint.h stdio.h stdlib.h string.h strings.h syslog.h termios.h time.h unistd.h
    cpuid.h emmintrin.h immintrin.h nmmintrin.h smmintrin.h tmmintrin.h wmmintrin.h x86intrin.h arm_neon.h""".split()
)

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
FLOOR = re.compile(r"^\s*sluice_floor\((\w+)([^)]*)\)", re.MULTILINE)
SOURCES = {".h", ".hpp", ".cc", ".cpp", ".c", ".inc"}


class Floor(NamedTuple):
    name: str
    uses: list
    third: list


def read_floors(cmake_text):
    """The rows of the table, in order, and what is wrong with the table itself."""
    floors, problems, owner = {}, [], {}
    for name, arguments in FLOOR.findall(cmake_text):
        parts = {"USES": [], "THIRD": []}
        current = None
        for word in arguments.split():
            if word in parts:
                current = word
            elif current:
                parts[current].append(word)
        for used in parts["USES"]:
            if used not in floors:
                problems.append(f"daemon/CMakeLists.txt: {name} uses {used}, which is not a lower floor")
        for target in parts["THIRD"]:
            if target not in HEADERS_OF:
                problems.append(f"daemon/CMakeLists.txt: {name} names {target}; add its headers to HEADERS_OF")
            elif HEADERS_OF[target] and owner.setdefault(target, name) != name:
                problems.append(f"daemon/CMakeLists.txt: {target} belongs to {owner[target]}, but {name} names it too")
        floors[name] = Floor(name, parts["USES"], parts["THIRD"])
    return floors, problems


def includes_of(path):
    """(line number, '<' or '"', name) for each #include of a file."""
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        found = INCLUDE.match(line)
        if found:
            yield number, found.group(1), found.group(2)


def library_of(header):
    """The CMake target whose header this is, or None."""
    for target, prefixes in HEADERS_OF.items():
        for prefix in prefixes:
            if header == prefix or (prefix.endswith("/") and header.startswith(prefix)):
                return target
    return None


def is_system(header):
    if header in SYSTEM_HEADERS or header.startswith(SYSTEM_FOLDERS):
        return True
    return "." not in header and "/" not in header


def judge_own(folder, name, floors):
    """Why daemon/<folder>/ may not include our file "name"; None if it may. Folder None is daemon/ itself (main.cc)."""
    target = name.split("/")[0] if "/" in name else None
    if target == "plugins":
        return None if name == "plugins/abi.h" and folder in ("filter", None) else f"{folder} -> plugins"
    if target not in floors:
        return f'{folder or "main"} -> "{name}": write the folder, as in "http/uri.h"'
    if folder is None or target == folder or target in floors[folder].uses:
        return None
    return f"{folder} -> {target}: {folder} may include {', '.join(floors[folder].uses) or 'no other folder'}"


def judge_foreign(folder, name, floors):
    """Why daemon/<folder>/ may not include <name>; None if it may."""
    target = library_of(name)
    if target is None:
        return None if is_system(name) else f"{folder or 'main'} -> <{name}>: not a library that any floor names"
    if folder is not None and target in floors[folder].third:
        return None
    owners = [floor.name for floor in floors.values() if target in floor.third]
    return f"{folder or 'main'} -> <{name}>: only {' '.join(owners) or 'no floor'} may include it"


def judge_plugin(root, path, quote, name, floors):
    """Plugins see abi.h, sdk.hpp, common/ and themselves; never daemon/ and never each other."""
    plugins = root / "plugins"
    inside = path.relative_to(plugins).parts
    home = inside[0] if len(inside) > 1 else ""
    parts = name.removeprefix("plugins/").split("/")
    if ".." in parts or "daemon" in parts or (len(parts) > 1 and parts[0] in floors):
        return f"plugins/{home} -> daemon"
    if quote == '"' and len(parts) > 1 and parts[0] not in (home, "common") and (plugins / parts[0]).is_dir():
        return f"plugins/{home} -> plugins/{parts[0]}"
    return None


def check(root):
    """All offences under `root`, as printable lines, and how many includes were looked at."""
    floors, problems = read_floors((root / "daemon" / "CMakeLists.txt").read_text())
    if not floors:
        problems.append("daemon/CMakeLists.txt: no sluice_floor line found")
    count = 0
    for top in ("daemon", "plugins"):
        for path in sorted(p for p in (root / top).rglob("*") if p.suffix in SOURCES and p.is_file()):
            inside = path.relative_to(root / top).parts
            folder = inside[0] if len(inside) > 1 else None
            where = path.relative_to(root)
            if top == "daemon" and folder is not None and folder not in floors:
                problems.append(f"{where}:1: {folder} has no sluice_floor line in daemon/CMakeLists.txt")
                continue
            for number, quote, name in includes_of(path):
                count += 1
                if top == "plugins":
                    reason = judge_plugin(root, path, quote, name, floors)
                elif quote == '"':
                    reason = judge_own(folder, name, floors)
                else:
                    reason = judge_foreign(folder, name, floors)
                if reason:
                    problems.append(f"{where}:{number}: {reason}")
    return problems, count


def main():
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent
    problems, count = check(root)
    for problem in problems:
        print(problem)
    print(f"check_layers: {count} includes, {len(problems)} outside their floor")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
