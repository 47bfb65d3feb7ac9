#!/usr/bin/env python3
"""A host in Python: compiles its C plugins the first time and never again, loads them and calls each.

    host.py PLUGIN_DIR [STORE_DIR]

Nothing is built for it: ctypes calls libplugcache.so (or the file that PLUGCACHE_LIBRARY names), and the plugins are
those of examples/plugin_host. The same pattern serves any language that can call C.
"""

import ctypes
import os
import subprocess
import sys
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_size_t, c_uint32, c_void_p
from pathlib import Path

lib = ctypes.CDLL(os.environ.get("PLUGCACHE_LIBRARY", "libplugcache.so"))

# Callbacks hold the interpreter's lock while they run; all other calls of ctypes release it.
BUILD = CFUNCTYPE(c_int, c_void_p, c_void_p)
LOAD = CFUNCTYPE(c_int, c_void_p, c_void_p)


def declare(name, result, *arguments):
    """Without its types ctypes takes every pointer for an int of 32 bits."""
    function = getattr(lib, "plugcache_" + name)
    function.restype, function.argtypes = result, arguments
    return function


last_error_text = declare("last_error_text", c_char_p)
config_new = declare("config_new", c_void_p, c_char_p)
config_free = declare("config_free", None, c_void_p)
open_or_disabled = declare("open_or_disabled", c_void_p, c_void_p)
open_for_app = declare("open_for_app", c_void_p, c_char_p)
close = declare("close", None, c_void_p)
store_dir = declare("dir", c_char_p, c_void_p)
toolchain_of_program = declare("toolchain_of_program", c_void_p, c_char_p)
toolchain_free = declare("toolchain_free", None, c_void_p)
builder_new = declare("sources_builder_new", c_void_p, c_char_p, c_void_p, POINTER(c_char_p), c_size_t)
builder_file = declare("sources_builder_file", c_int, c_void_p, c_char_p)
builder_free = declare("sources_builder_free", None, c_void_p)
digest = declare("sources_digest", c_void_p, c_void_p, c_void_p)
sources_free = declare("sources_free", None, c_void_p)
load_or_build = declare("load_or_build", c_void_p, c_void_p, c_void_p, BUILD, LOAD, c_void_p)
build_dir = declare("build_dir", c_char_p, c_void_p)
build_output = declare("build_output", c_char_p, c_void_p, c_char_p)
build_depfile = declare("build_depfile", c_int, c_void_p, c_char_p)
build_fail = declare("build_fail", c_int, c_void_p, c_char_p)
artifact_path = declare("artifact_path", c_char_p, c_void_p)
artifact_label = declare("artifact_label", c_char_p, c_void_p)
artifact_how_text = declare("artifact_how_text", c_char_p, c_void_p)
artifact_release = declare("artifact_release", None, c_void_p)


class Page(Structure):
    _fields_ = [("text", c_void_p), ("room", c_size_t), ("used", c_size_t)]


class Plugin(Structure):
    """`struct plugin` of plugin.h."""

    _fields_ = [
        ("abi", c_uint32),
        ("summary", c_char_p),
        ("sample", c_char_p),
        ("start", CFUNCTYPE(c_int, POINTER(Page))),
        ("run", CFUNCTYPE(None, c_char_p, POINTER(Page))),
    ]


ABI = 1
KIND = b"python-host/abi-1"
FLAGS = [b"-O2", b"-shared", b"-fPIC", b"-fvisibility=hidden"]


def checked(value):
    if not value:
        raise RuntimeError(last_error_text().decode(errors="replace"))
    return value


class Host:
    def __init__(self, store, cc):
        self.store, self.cc, self.compilers_started = store, cc, 0
        # The libraries stay loaded as long as the process runs, and so must the leases on their files.
        self.artifacts = []

    def sources(self, path):
        options = (c_char_p * len(FLAGS))(*FLAGS)
        builder = checked(builder_new(KIND, self.cc, options, len(FLAGS)))
        try:
            builder_file(builder, os.fsencode(path))
            return checked(digest(builder, self.store))
        finally:
            builder_free(builder)

    def use(self, path):
        found = {}

        def compile(build, _):
            # An exception must not leave a callback: ctypes would print it and answer 0, which means success.
            try:
                report = os.path.join(build_dir(build), b"plugin.d")
                output = build_output(build, b"plugin.so")
                self.compilers_started += 1
                command = [b"cc", *FLAGS, b"-MD", b"-MF", report, b"-o", output, os.fsencode(path)]
                subprocess.run(command, check=True, capture_output=True)
                return build_depfile(build, report)
            except Exception as error:
                build_fail(build, (getattr(error, "stderr", None) or str(error).encode()).replace(b"\0", b""))
                return 1

        def load(artifact, _):
            try:
                library = ctypes.CDLL(os.fsdecode(artifact_path(artifact)))
                library.plugin_entry.restype = POINTER(Plugin)
                plugin = library.plugin_entry()
                found["library"], found["plugin"] = library, plugin
                return 0 if plugin and plugin.contents.abi == ABI else 1
            except (OSError, AttributeError):
                return 1  # the file is to blame: it is built anew, once

        sources = self.sources(path)
        try:
            artifact = checked(load_or_build(self.store, sources, BUILD(compile), LOAD(load), None))
        finally:
            sources_free(sources)
        self.artifacts.append(artifact)
        plugin = found["plugin"].contents
        name, how = artifact_label(artifact).decode(), artifact_how_text(artifact).decode()
        print(f"{name}: {plugin.summary.decode()} ({how})", flush=True)
        print(call(plugin), end="")


def call(plugin):
    room = ctypes.create_string_buffer(16 * 1024)
    page = Page(ctypes.addressof(room), len(room), 0)
    if plugin.start and plugin.start(page) != 0:
        return f"  does not start: {room.value.decode(errors='replace')}\n"
    page.used = 0
    plugin.run(plugin.sample, page)
    return room.raw[: page.used].decode(errors="replace")


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    if len(sys.argv) == 3:
        config = checked(config_new(os.fsencode(sys.argv[2])))
        store = checked(open_or_disabled(config))
        config_free(config)
    else:
        store = checked(open_for_app(b"plugin-host-python"))
    cc = checked(toolchain_of_program(b"cc"))
    host = Host(store, cc)
    for path in sorted(Path(sys.argv[1]).glob("*.c")):
        host.use(path)
    print(f"compilers started: {host.compilers_started}")
    print(f"store: {os.fsdecode(store_dir(store))}")
    for artifact in host.artifacts:
        artifact_release(artifact)
    toolchain_free(cc)
    close(store)


if __name__ == "__main__":
    main()
