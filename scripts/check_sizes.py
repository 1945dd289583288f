#!/usr/bin/env python3
"""Checks that files and functions stay small enough to read. Exit code 1 if a hard limit is passed.

usage: check_sizes.py [--self-test] [ROOT]

Files:      over 400 lines a warning, over 800 an error (tests and .cu: 1,000); headers over 250 a warning.
Functions:  over 80 lines an error (C++ by matching braces, Python by its parser).
Any file:   over 500 KB an error, fixtures under tests/fixtures over 1 MB.
"""
import ast
import pathlib
import re
import subprocess
import sys

WARN_FILE, MAX_FILE, MAX_TEST_FILE, WARN_HEADER, MAX_FUNCTION = 400, 800, 1000, 250, 80
MAX_BYTES, MAX_FIXTURE_BYTES = 500_000, 1_000_000
CXX = (".cc", ".hpp", ".cu", ".cuh", ".h", ".cpp")
CODE = CXX + (".py", ".sh", ".cmake", "CMakeLists.txt")
NOT_FUNCTIONS = {"namespace", "class", "struct", "union", "enum", "extern", "if", "for", "while", "switch", "catch", "do", "else", "try"}


def strip(text):
    """C++ without comments, preprocessor lines and the contents of literals, lines kept."""
    def blank(match):
        token = match[0]
        body = re.sub(r"[^\n]", " ", token)
        return body if token.startswith("/") else "0" + body[1:]
    text = re.sub(r'R"([^(\s]*)\((?:.|\n)*?\)\1"|//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'',
                  blank, text, flags=re.S)
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.M)


def in_initialiser_list(head):
    """Does a `{` after `head` initialise a member in a constructor's list, as in `A() : x_{1} {`?"""
    return bool(re.search(r"\)\s*(?:noexcept\s*)?:(?!:)[^;]*[\w>]\s*$", head))


def opens_function(head):
    """Does a `{` after `head` (the text since the last `;`, `{` or `}`) begin a function body?"""
    head = re.sub(r"\b(?:public|private|protected)\s*:", " ", head)
    head = re.sub(r"^\s*template\s*<.*?>\s*(?=[\w\[])", " ", head, flags=re.S).strip()
    words = re.findall(r"\w+", head)
    if not words or words[0] in NOT_FUNCTIONS or "(" not in head:
        return False
    if re.search(r"\b(?:namespace|enum)\b", head) or re.match(r"(?:\w+\s+)*(?:class|struct|union)\s+[\w:<>, ]+(?:\s*:\s*[\w:<>, ]+)?$", head):
        return False
    # Ends in its parameters, qualifiers, a result type or an initialiser list; an `=` before `(` starts a plain initialiser.
    return bool(re.search(r"\)\s*(?:const|noexcept(?:\s*\(.*\))?|override|final|mutable|&{1,2}|->\s*[^{;]+|requires\b[^{;]*|try|:\s*[^{;]*)?"
                          r"(?:\s*(?:const|noexcept|override|final|mutable|->\s*[^{;]+))*$", head, re.S))


def cxx_functions(text):
    """(name, first line, lines) of every function body, found by matching braces outside of other functions."""
    code = strip(text)
    depth_of_function, depth, head_start, start, line = None, 0, 0, 0, 1
    name = ""
    round_depth = member_braces = 0
    for i, c in enumerate(code):
        if c == "\n":
            line += 1
        elif c in "()":
            round_depth += 1 if c == "(" else -1
        elif c == "{" and depth_of_function is None and in_initialiser_list(code[head_start:i]):
            round_depth += 1
            member_braces += 1
        elif c == "}" and member_braces:
            round_depth -= 1
            member_braces -= 1
        elif c == "{":
            if depth_of_function is None:
                head = code[head_start:i].replace("{", "(").replace("}", ")")
                if round_depth == 0 and opens_function(head):
                    depth_of_function = depth
                    start = line - head.lstrip().count("\n")
                    named = re.search(r"([\w:~]+)\s*\(", head)
                    name = named[1] if named else "?"
                if round_depth == 0:
                    head_start = i + 1
            depth += 1
        elif c == "}":
            depth -= 1
            if depth == depth_of_function:
                yield name, start, line - start + 1
                depth_of_function = None
            if depth_of_function is None and round_depth == 0:
                head_start = i + 1
        elif c == ";" and round_depth == 0 and depth_of_function is None:
            head_start = i + 1


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.lineno, node.end_lineno - node.lineno + 1


def check_text(path, text):
    """(errors, warnings) of one source file."""
    errors, warnings = [], []
    lines = text.count("\n") + (not text.endswith("\n"))
    hard = MAX_TEST_FILE if path.startswith("tests/") or path.endswith((".cu", ".cuh")) else MAX_FILE
    if lines > hard:
        errors.append(f"{path}: {lines} lines, at most {hard}: split it by what it holds")
    elif path.endswith((".hpp", ".h")) and lines > WARN_HEADER:
        warnings.append(f"{path}: header of {lines} lines, better under {WARN_HEADER}")
    elif lines > WARN_FILE:
        warnings.append(f"{path}: {lines} lines, better under {WARN_FILE}")
    functions = cxx_functions(text) if path.endswith(CXX) else python_functions(text) if path.endswith(".py") else ()
    for name, first, length in functions:
        if length > MAX_FUNCTION:
            errors.append(f"{path}:{first}: {name} has {length} lines, at most {MAX_FUNCTION}: split it into steps with names")
    return errors, warnings


def project_files(root):
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard"],
                            capture_output=True, text=True)
    if listed.returncode == 0:
        paths = [root / p for p in listed.stdout.split("\n") if p]
    else:
        paths = [p for p in root.rglob("*") if not {"build", "runs", ".git"} & set(p.relative_to(root).parts)]
    return [p for p in paths if p.is_file()]


def check(root):
    errors, warnings, files = [], [], project_files(root)
    for file in files:
        path, size = str(file.relative_to(root)), file.stat().st_size
        if size > (MAX_FIXTURE_BYTES if path.startswith("tests/fixtures/") else MAX_BYTES):
            errors.append(f"{path}: {size // 1000} KB; data of that size does not belong into the repository")
        if path.endswith(CODE):
            more_errors, more_warnings = check_text(path, file.read_text(errors="replace"))
            errors += more_errors
            warnings += more_warnings
    return files, errors, warnings


def self_test():
    body = "  x = 1;\n"
    long_body, short_body = body * 90, body * 10
    cases = [  # (path, text, errors, warnings)
        ("a.cc", "int x;\n" * 100, 0, 0),
        ("a.cc", "int x;\n" * 401, 0, 1),
        ("a.cc", "int x;\n" * 801, 1, 0),
        ("tests/a.cc", "int x;\n" * 801, 0, 1),
        ("tests/a.cc", "int x;\n" * 1001, 1, 0),
        ("a.cu", "int x;\n" * 999, 0, 1),
        ("a.hpp", "int x;\n" * 251, 0, 1),
        ("a.cc", "void f() {\n" + short_body + "}\n", 0, 0),
        ("a.cc", "void f(int a,\n  int b) const noexcept {\n" + long_body + "}\n", 1, 0),
        ("a.cc", "namespace n {\n" + ("void f() {\n" + short_body + "}\n") * 12 + "}\n", 0, 0),
        ("a.cc", "namespace n {\nclass A : public B<int> {\n public:\n  A() : a_(1), b_{2} {\n" + long_body + "}\n};\n}\n", 1, 0),
        ("a.cc", "A::A(int x) noexcept : a_{x}, b_(B{1}), c_{} {\n" + short_body + "}\nvoid f() {\n" + long_body + "}\n", 1, 0),
        ("a.cc", "class A {\n public:\n" + "  int f() { return 1; }\n" * 90 + "};\n", 0, 0),
        ("a.cc", "struct A {\n" + "  int x = 0;\n" * 90 + "};\n", 0, 0),
        ("a.cc", "const int table[] = {\n" + "  1,\n" * 90 + "};\n", 0, 0),
        ("a.cc", "template <typename T, int n = (1 > 0)>\nauto f(T t) -> std::vector<T> {\n" + long_body + "}\n", 1, 0),
        ("a.cc", "auto f = [](int a) {\n" + long_body + "};\n", 1, 0),
        ("a.cc", "TEST(A, B) {\n" + long_body + "}\n", 1, 0),
        ("a.cc", 'void f() {\n  g("{{{");  // {{{\n  c = \'{\';\n}\nvoid g() {\n' + short_body + "}\n", 0, 0),
        ("a.cc", "void f() {\n  if (a) {\n" + "    y();\n" * 85 + "  }\n}\n", 1, 0),
        ("a.py", "def f():\n" + "    x = 1\n" * 90, 1, 0),
        ("a.py", "def f():\n" + "    x = 1\n" * 9, 0, 0),
    ]
    wrong = 0
    for path, text, errors, warnings in cases:
        found = check_text(path, text)
        if (len(found[0]), len(found[1])) != (errors, warnings):
            wrong += 1
            print(f"self-test: {path}: {text[:60]!r}...: expected {errors} errors, {warnings} warnings, found {found}")
    print(f"check_sizes self-test: {len(cases)} cases, {wrong} wrong")
    return wrong == 0


def main():
    arguments = sys.argv[1:]
    if "--self-test" in arguments:
        sys.exit(0 if self_test() else 1)
    root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).resolve().parent.parent)
    files, errors, warnings = check(root)
    for warning in warnings:
        print("warning: " + warning)
    for error in errors:
        print("error: " + error)
    print(f"check_sizes: {len(files)} files, {len(errors)} errors, {len(warnings)} warnings")
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
