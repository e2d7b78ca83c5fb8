#!/usr/bin/env python3
"""Counts the shape of the library: sizes of files and functions, methods of the largest types, lines, and signs of text
that is hard to read. Circles of files and the order of folders are checks of tests/architecture.rs. Needs nothing but
Python.

usage: count.py [ROOT]     prints a table
"""
import collections
import os
import re
import statistics
import sys

SIGNS = {
    "comment lines over 100 columns": None,
    "sentences that begin with What, Who, Whose, Those": r"(?:^|\. |: )(?:What|Who|Whose|Those)\b(?! (?:documents|points|vectors|rows|slots)\b)",
    '"so many"': r"\bso many\b",
    '"anew"': r"\banew\b",
    '"for ever"': r"\bfor ever\b",
}
LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"|b?r(#*)".*?"\1|\'(?:\\[^\']*|[^\\\'])\'', re.S)


def sources(root):
    for folder, folders, names in os.walk(os.path.join(root, "src")):
        # Programs beside the library are counted apart.
        folders[:] = sorted(name for name in folders if name != "bin")
        for name in sorted(names):
            path = os.path.join(folder, name)
            is_test = "/tests/" in path or name in ("tests.rs", "naive.rs") or name.endswith("_tests.rs")
            if name.endswith(".rs") and not is_test:
                yield path, open(path).read()


def split(text):
    """Code without comments and literals, and the comments, both with their lines kept."""
    code, comments, at = [], [], 0
    while at < len(text):
        literal = LITERAL.match(text, at)
        if text.startswith("//", at):
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            comments.append(text[at:end])
            at = end
        elif literal:
            code.append('""' + "\n" * literal.group(0).count("\n"))
            at = literal.end()
        else:
            code.append(text[at])
            at += 1
    return "".join(code), comments


def without_tests(code):
    while found := re.search(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))?\s+)?mod \w+", code):
        end = found.end()
        if code[end:].lstrip().startswith("{"):
            end = closing(code, code.index("{", end))
        else:
            end = code.index(";", end) + 1
        code = code[: found.start()] + code[end:]
    return code


def closing(code, at):
    depth = 0
    for place in range(at, len(code)):
        depth += {"{": 1, "}": -1}.get(code[place], 0)
        if depth == 0:
            return place + 1
    return len(code)


def functions(code):
    """The name of each function and the lines of its body, blank ones left out."""
    for found in re.finditer(r"\bfn (\w+)", code):
        at, depth = found.end(), 0
        while at < len(code) and (code[at] not in "{;" or depth > 0):
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(code[at], 0)
            at += 1
        if at < len(code) and code[at] == "{":
            body = code[at + 1 : closing(code, at) - 1]
            yield found.group(1), sum(1 for line in body.splitlines() if line.strip())


def methods(code):
    """The type of each implementation and how many functions it has."""
    for found in re.finditer(r"^impl(?:<[^{]*?>)? (?:[\w:<>', ]+ for )?(\w+)[^{;]*\{", code, re.M):
        body = code[found.end() - 1 : closing(code, found.end() - 1)]
        yield found.group(1), len(re.findall(r"^    (?:pub(?:\([^)]*\))? )?(?:const |unsafe )*fn ", body, re.M))


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    sizes, lengths, signs = {}, [], collections.Counter()
    of_type, files_of = collections.Counter(), collections.defaultdict(set)
    for path, text in sources(root):
        code, comments = split(text)
        code, path = without_tests(code), os.path.relpath(path, root)
        sizes[path] = sum(1 for line in code.splitlines() if line.strip())
        lengths += [(lines, f"{path} {name}") for name, lines in functions(code)]
        for name, n in methods(code):
            of_type[name] += n
            files_of[name].add(path)
        signs["comment lines over 100 columns"] += sum(
            1 for line in text.splitlines() if re.match(r"\s*//", line) and len(line) > 100 and "|" not in line
        )
        prose = " ".join(re.sub(r"^//[/!]?\s?", "", comment) for comment in comments)
        for name, sign in SIGNS.items():
            signs[name] += len(re.findall(sign, prose)) if sign else 0
    lengths.sort()
    only = [lines for lines, _ in lengths]
    quantile = statistics.quantiles(sizes.values(), n=20)
    print(f"library: {len(sizes)} files, {sum(sizes.values())} lines of code without tests, comments and blank lines")
    print(f"lines of a file: median {statistics.median(sizes.values()):.0f}, p95 {quantile[-1]:.0f}, most:")
    for path in sorted(sizes, key=sizes.get)[-3:]:
        print(f"    {sizes[path]:5} {path}")
    p95 = only[int(len(only) * 0.95)]
    print(f"lines of a function ({len(only)}): median {statistics.median(only):.0f}, p95 {p95}, most:")
    for lines, name in lengths[-3:]:
        print(f"    {lines:5} {name}")
    print("methods of a type, and in how many files:")
    for name, n in of_type.most_common(5):
        print(f"    {n:5} {name}, {len(files_of[name])} files")
    roots = [path for path in sizes if os.path.dirname(path) == "src/collection"]
    print(f"files at the root of src/collection: {len(roots)}")
    for name in SIGNS:
        print(f"{name}: {signs[name]}")


if __name__ == "__main__":
    main()
