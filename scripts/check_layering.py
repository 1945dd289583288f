#!/usr/bin/env python3
"""Checks the rules that keep the layers apart (docs/architecture.md). Exit code 1 and one line a violation.

usage: check_layering.py [--self-test] [ROOT]

1. layer         the first segment of a project include names the layer, and only lower layers may be included
2. third-party   headers of other projects are confined to the files that wrap them
3. wait          StarPU calls that wait appear only where a step has ended: executor, session and calibration; the drain
                 of Comm, which only those call; and the tile access of host_tiles, which reads and writes between steps
4. operators     operator families are listed in src/base/op_families.def only; nothing enumerates or switches on operators
5. names         no file or folder called utils, common, misc, manager or helper
"""
import pathlib
import re
import subprocess
import sys

LAYERS = {  # layer: what it may include besides itself
    "base": set(),
    "graph": {"base"},
    "codelets": {"base"},
    "partition": {"base", "graph"},
    "runtime": {"base", "graph", "codelets", "partition"},
    "train": {"base", "graph", "codelets", "partition", "runtime"},
    "apps": {"base", "graph", "codelets", "partition", "runtime", "train"},
    "cli": {"base", "graph", "codelets", "partition", "runtime", "train", "apps"},
}
GENERATED = {"hpdlf_version.hpp"}  # by CMake

# (header, where it may be included, as it is called in the message); the first match decides.
THIRD_PARTY = [
    (r"starpu_mpi|mpi\.h$", r"src/runtime/(session|comm)", "MPI"),
    (r"starpu", r"src/runtime/|codelets/starpu_codelet", "StarPU"),
    (r"dnnl|oneapi/dnnl", r"codelets/cpu/", "oneDNN"),
    (r"cblas|lapacke", r"codelets/cpu/", "BLAS"),
    (r"omp\.h$", r"codelets/|src/runtime/", "OpenMP"),
    (r"hwy/", r"codelets/cpu/|src/train/", "Highway"),
    (r"\w*mmintrin\.h|x86intrin|arm_neon", r"codelets/cpu/", "CPU intrinsics"),
    (r"cuda|cudnn|cublas|curand|nccl|nvml|nvtx", r"codelets/cuda/|src/runtime/session", "CUDA"),
    (r"google/protobuf|onnx|.*\.pb\.h$", r"graph/onnx/", "protobuf"),
    (r"nifti|znzlib", r"src/train/", "NIfTI"),
    (r"spdlog/", r"src/base/", "spdlog (use base/log.hpp)"),
    (r"toml\+\+|toml\.hpp", r"src/base/", "toml++ (use base/config.hpp)"),
    (r"fmt/", r"", "fmt"),
    (r"nlohmann/", r"graph/|partition/|src/(base|runtime|train|cli)/|apps/", "JSON"),
    (r"sqlite3", r"partition/|src/(runtime|train)/", "SQLite"),
    (r"png\.h$|pngconf", r"src/train/", "PNG"),
    (r"zlib\.h$|zconf", r"src/(base|train)/", "zlib"),
    (r"CLI/", r"src/cli/", "CLI11"),
    (r"openssl/", r"src/(base|train)/", "OpenSSL"),
    (r"sanitizer/", r"", "sanitizer interface"),
    (r"hwloc", r"src/runtime/", "hwloc"),
    (r"(gtest|gmock|benchmark)/", r"^$", "test frameworks"),
]
SYSTEM_FOLDERS = {"sys", "linux", "arpa", "netinet", "net", "ext", "experimental"}

WAITS = re.compile(r"\b(starpu_task_wait(?:_for_all|_for_n_submitted|_array|_for_no_ready)?\w*|starpu_data_acquire(?:_on_node)?"
                   r"|starpu_mpi_(?:wait|wait_for_all|barrier|send|recv)|comm\w*(?:\(\))?(?:\.|->)drain)\s*\(")
MAY_WAIT = re.compile(r"src/runtime/(executor|session|calibrat\w*)\.cc$")
MAY_WAIT_FOR = {  # what else may wait, and by which calls only
    "src/runtime/comm.cc": {"starpu_mpi_wait_for_all", "starpu_mpi_barrier", "starpu_task_wait_for_all"},
    "src/runtime/host_tiles.cc": {"starpu_data_acquire"},
}
FAMILY_LINE = re.compile(r"^HPDLF_OP_FAMILY\((\w+)\)", re.M)
FAMILIES_FILE = "src/base/op_families.def"
BAD_NAMES = {"util", "utils", "common", "misc", "manager", "managers", "helper", "helpers"}
CXX = (".cc", ".hpp", ".cu", ".cuh", ".h", ".cpp")


def strip(text, keep_strings=False):
    """C++ without comments (and without the contents of strings), lines kept."""
    def blank(match):
        token = match[0]
        if token.startswith("/"):
            return re.sub(r"[^\n]", " ", token)
        return token if keep_strings else token[0] + re.sub(r"[^\n]", " ", token[1:-1]) + token[-1]
    return re.sub(r'//[^\n]*|/\*.*?\*/|R"\((?:.|\n)*?\)"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', blank, text, flags=re.S)


def layer_of(path):
    parts = path.split("/")
    if parts[0] == "src":
        return parts[1] if len(parts) > 2 else None  # src/hpdlf.hpp, the public header, may include all
    return parts[0]


def check_includes(path, text):
    layer = layer_of(path)
    for number, line in enumerate(strip(text, keep_strings=True).split("\n"), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if not match:
            continue
        header, first = match[2], match[2].split("/")[0]
        known = next((t for t in THIRD_PARTY if re.match(t[0], header)), None)
        if match[1] == '"' and first in LAYERS and "/" in header:
            if layer in LAYERS and first != layer and first not in LAYERS[layer]:
                yield number, "layer", f"{layer} may not include {first} ({header}); it may include {', '.join(sorted(LAYERS[layer])) or 'nothing'}"
        elif known:
            if layer in LAYERS and not re.match(known[1], path):
                yield number, "third-party", f"{known[2]} ({header}) may not be included here, only in {known[1].replace('|', ' or ')}"
        elif layer not in LAYERS or header in GENERATED:
            continue
        elif match[1] == '"':
            yield number, "layer", f'"{header}" does not begin with its layer: write "{layer}/..."'
        elif "/" in header and first not in SYSTEM_FOLDERS:
            yield number, "third-party", f"<{header}> is in no list: add it to THIRD_PARTY in check_layering.py, with where it belongs"


def check_waits(path, text):
    if layer_of(path) not in LAYERS or MAY_WAIT.match(path):
        return
    for number, line in enumerate(strip(text).split("\n"), 1):
        for match in WAITS.finditer(line):
            if match[1] in MAY_WAIT_FOR.get(path, ()):
                continue
            yield number, "wait", f"{match[1]} waits inside a step; only src/runtime/{{executor,session,calibrate}}.cc may"


def operator_names(files):
    names = set()
    for path, text in files.items():
        if path.startswith("graph/ops/"):
            names |= set(re.findall(r'\.name\s*=\s*"([A-Z]\w+)"', text))
    return names


def check_operators(path, text, families, operators):
    """A list of operators beside op_families.def: CMake lines, registration calls, tables of families, enums, switches."""
    if path == FAMILIES_FILE or path.startswith("tests/"):
        return
    if path.endswith(("CMakeLists.txt", ".cmake")):
        listed = set(re.findall(r"\b(?:ops|cpu|cuda)/(\w+)\.(?:cc|cu)\b", re.sub(r"#.*", "", text))) & families
        for family in sorted(listed):
            yield 0, "operators", f"operator family \"{family}\" is listed here; {FAMILIES_FILE} is the only list"
    if not path.endswith(CXX):
        return
    code, shown = strip(text), strip(text, keep_strings=True)
    stem = path.split("/")[-1].split(".")[0]
    called = {m for m in re.findall(r"\bregister_(\w+?)_(?:ops|cpu|cuda)\b", code) if m in families and m != stem}
    if len(called) > 1:
        yield 0, "operators", f"registers {', '.join(sorted(called))} by name; expand {FAMILIES_FILE} instead"
    quoted = {f for f in families if f'"{f}"' in shown}
    if len(quoted) >= 4:
        yield 0, "operators", f"a table of operator families ({', '.join(sorted(quoted))}); {FAMILIES_FILE} is the only list"
    for match in re.finditer(r"\bswitch\s*\(([^{;]*)\)\s*\{", code):
        if re.search(r"\bop(?:erator)?(?:_?(?:name|type|id|kind|code))?(?:\(\))?\s*$", match[1].strip()):
            yield code[: match.start()].count("\n") + 1, "operators", "switch on the operator: put what differs into its OpSpec"
    for match in re.finditer(r"\benum\s+(?:class\s+|struct\s+)?\w*[^{;()]*\{([^}]*)\}", code):
        named = set(re.findall(r"\w+", match[1])) & operators
        if len(named) >= 3:
            yield code[: match.start()].count("\n") + 1, "operators", f"enum of operators ({', '.join(sorted(named))})"
    if not path.startswith(("graph/ops/", "graph/passes/", "graph/onnx/", "codelets/cpu/", "codelets/cuda/", "apps/")):
        compared = set(re.findall(r'[=!]=\s*"(\w+)"', shown)) & operators
        if len(compared) >= 4:
            yield 0, "operators", f"branches on operator names ({', '.join(sorted(compared))}): put what differs into OpSpec"


def check_name(path):
    for part in path.split("/"):
        bad = BAD_NAMES & set(re.split(r"[_.]", part.lower()))
        if bad:
            yield 0, "names", f"\"{part}\": say what is in it, not \"{bad.pop()}\""


def check(files):
    """All violations in {path: text}, as lines `path:line: [rule] message`."""
    families = set(FAMILY_LINE.findall(files.get(FAMILIES_FILE, "")))
    operators = operator_names(files)
    found = []
    for path, text in sorted(files.items()):
        rules = [check_operators(path, text, families, operators)]
        if path.endswith(CXX):
            rules += [check_includes(path, text), check_waits(path, text), check_name(path)]
        found += [f"{path}:{number or 1}: [{rule}] {message}" for part in rules for number, rule, message in part]
    return found


def project_files(root):
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard"],
                            capture_output=True, text=True)
    if listed.returncode == 0:
        paths = listed.stdout.split("\n")
    else:
        paths = [str(p.relative_to(root)) for p in root.rglob("*") if "build" not in p.relative_to(root).parts]
    wanted = CXX + ("CMakeLists.txt", ".cmake", ".def")
    return {p: (root / p).read_text(errors="replace") for p in paths if p.endswith(wanted) and (root / p).is_file()}


SELF_TEST = [  # (path, text, rule that must be reported, or None)
    ("graph/a.cc", '#include "base/error.hpp"\n#include <vector>\n#include <sys/mman.h>', None),
    ("graph/a.cc", '#include "codelets/kernel.hpp"', "layer"),
    ("codelets/cpu/a.cc", '#include "graph/ir.hpp"', "layer"),
    ("src/base/a.hpp", '#include "graph/ir.hpp"', "layer"),
    ("partition/a.cc", '#include "runtime/session.hpp"', "layer"),
    ("src/train/a.cc", '#include "cli/commands.hpp"', "layer"),
    ("src/train/a.cc", '#include "runtime/executor.hpp"\n#include "codelets/kernel.hpp"', None),
    ("apps/unet3d/a.cc", '#include "cli/commands.hpp"', "layer"),
    ("src/runtime/a.cc", '#include "executor.hpp"', "layer"),
    ("src/runtime/a.cc", '// #include "train/trainer.hpp"\n/* #include "cli/x.hpp" */', None),
    ("tests/unit/graph/a.cc", '#include "codelets/kernel.hpp"\n#include <starpu.h>\n#include <gtest/gtest.h>', None),
    ("src/hpdlf.hpp", '#include "train/trainer.hpp"', None),
    ("src/cli/main.cc", '#include "hpdlf_version.hpp"', None),
    ("src/train/a.cc", "#include <starpu.h>", "third-party"),
    ("codelets/starpu_codelet.hpp", "#include <starpu.h>", None),
    ("codelets/registry.cc", "#include <starpu.h>", "third-party"),
    ("src/runtime/executor.cc", "#include <starpu_mpi.h>", "third-party"),
    ("src/runtime/comm.cc", "#include <mpi.h>\n#include <starpu_mpi.h>", None),
    ("codelets/kernel.hpp", "#include <dnnl.hpp>", "third-party"),
    ("codelets/cpu/conv.cc", "#include <oneapi/dnnl/dnnl.hpp>\n#include <hwy/highway.h>", None),
    ("partition/a.cc", "#include <hwy/highway.h>", "third-party"),
    ("src/train/a.cc", "#include <toml++/toml.h>", "third-party"),
    ("graph/a.cc", "#include <boost/any.hpp>", "third-party"),
    ("src/train/a.cc", "#include <gtest/gtest.h>", "third-party"),
    ("src/train/a.cc", "void f() { starpu_task_wait_for_all(); }", "wait"),
    ("src/runtime/memory.cc", "void f() { starpu_data_acquire(h, STARPU_R); }", "wait"),
    ("src/runtime/memory.cc", "void f() { starpu_data_acquire_cb(h, m, g, a); } // starpu_task_wait(t)", None),
    ("src/runtime/executor.cc", "void f() { starpu_task_wait_for_all(); }", None),
    ("src/runtime/calibrate.cc", "void f() { starpu_task_wait(t); }", None),
    ("src/runtime/comm.cc", "void Comm::drain() { starpu_mpi_wait_for_all(MPI_COMM_WORLD); }", None),
    ("src/runtime/comm.cc", "void f() { starpu_data_acquire(h, STARPU_R); }", "wait"),
    ("src/runtime/step.cc", "void f() { comm_.drain(); }", "wait"),
    ("src/runtime/step.cc", "void f() { session.comm()->drain(); }", "wait"),
    ("src/runtime/host_tiles.cc", "void f() { starpu_data_acquire(h, STARPU_R); }", None),
    ("graph/CMakeLists.txt", "hpdlf_layer(hpdlf_graph SOURCES ops/conv.cc)", "operators"),
    ("graph/CMakeLists.txt", "# ops/conv.cc\nhpdlf_family_sources(x ops)", None),
    ("graph/all.cc", "void f() { register_conv_ops(r); register_norm_ops(r); }", "operators"),
    ("graph/ops/conv.cc", 'void register_conv_ops(R& r) { r.add({.name = "Conv"}); r.add({.name = "Relu"}); }', None),
    ("src/runtime/trace.cc", 'const char* k[] = {"conv", "norm", "pool", "loss"};', "operators"),
    ("src/runtime/trace.cc", 'const char* k[] = {"conv", "norm"};', None),
    ("graph/a.cc", "void f() { switch (node.op()) { case 1: break; } }", "operators"),
    ("graph/a.cc", "void f() { switch (call.op_type) { default: break; } }", "operators"),
    ("graph/a.cc", "void f() { switch (task.kind) { default: break; } }", None),
    ("graph/a.cc", "enum class Kind { Conv, MatMul, Relu };", "operators"),
    ("partition/a.cc", 'bool b = o == "Conv" || o == "Relu" || o == "MatMul" || o == "Softmax";', "operators"),
    ("partition/a.cc", 'bool b = o == "Concat";', None),
    ("src/base/string_utils.hpp", "", "names"),
    ("src/train/communicator.cc", "", None),
]


def self_test():
    base = {
        FAMILIES_FILE: "// families\n" + "".join(f"HPDLF_OP_FAMILY({f})\n" for f in ("conv", "norm", "pool", "loss")),
        "graph/ops/norm.cc": 'r.add({.name = "MatMul"}); r.add({.name = "Softmax"}); r.add({.name = "Conv"}); r.add({.name = "Relu"});',
    }
    wrong = 0
    for path, text, rule in SELF_TEST:
        found = [v for v in check({**base, path: text}) if v.startswith(path + ":")]
        rules = {re.search(r"\[(.*?)\]", v)[1] for v in found}
        if rules != ({rule} if rule else set()):
            wrong += 1
            print(f"self-test: {path}: {text!r}: expected {rule}, found {found}")
    print(f"check_layering self-test: {len(SELF_TEST)} cases, {wrong} wrong")
    return wrong == 0


def main():
    arguments = sys.argv[1:]
    if "--self-test" in arguments:
        sys.exit(0 if self_test() else 1)
    root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).resolve().parent.parent)
    files = project_files(root)
    found = check(files)
    print("\n".join(found + [f"check_layering: {len(files)} files, {len(found)} violations"]))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
