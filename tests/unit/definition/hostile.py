"""Reads hostile files one after the other, each within its budget; a process of its own runs this.

Prints one line of JSON per file: what it was, CPU seconds, how it ended.
"""

from __future__ import annotations

import json
import resource
import sys
from itertools import pairwise
from pathlib import Path

MEGABYTE = 1_000_000
HEAD = "version: 1\nname: demo\n"


def fill(unit: str, size: int = MEGABYTE - 100) -> str:
    """Repeat a text until it fills a file."""
    return unit * (size // len(unit.encode("utf-8", "surrogatepass")))


def bomb(levels: int, width: int) -> str:
    lines = ["a0: &a0 [" + ",".join("x" * width) + "]"]
    lines += [f"a{n}: &a{n} [" + ",".join([f"*a{n - 1}"] * width) + "]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


def wide_workflow(nodes: int, joined: bool) -> str:
    names = [f"n{number}" for number in range(nodes)]
    lines = [HEAD + "state: {k: {}}\nnodes:"]
    lines += [f'  {name}: {{use: "nodes:work", writes: [k], on_error: {{goto: n0}}}}' for name in names]
    lines.append("limits: {max_steps: 5}\nedges:")
    lines.append(f'  - "start -> [{", ".join(names)}]"')
    lines += [f'  - "[{", ".join(names)}] -> end"'] if joined else [f"  - {name} -> end" for name in names]
    return "\n".join(lines) + "\n"


def chain_workflow(nodes: int) -> str:
    names = [f"n{number}" for number in range(nodes)]
    body = "".join(f'  {name}: {{use: "nodes:work", writes: [k]}}\n' for name in names)
    routes = "".join(
        f"  - {{from: {name}, route: [{{if: 'true', to: {names[0]}}}, {{else: {after}}}]}}\n"
        for name, after in zip(names, [*names[1:], "end"], strict=True)
    )
    return f"{HEAD}state: {{k: {{}}}}\nnodes:\n{body}edges:\n  - start -> n0\n{routes}"


def grid_workflow(side: int) -> str:
    names = [[f"n{row}_{column}" for column in range(side)] for row in range(side)]
    body = "".join(f'  {name}: {{use: "nodes:work", writes: [k]}}\n' for row in names for name in row)
    edges = [f'  - "start -> [{", ".join(names[0])}]"\n']
    for upper, lower in pairwise(names):
        edges += [f'  - "{name} -> [{", ".join(lower)}]"\n' for name in upper]
    edges += [f"  - {name} -> end\n" for name in names[-1]]
    return f"{HEAD}state: {{k: {{}}}}\nnodes:\n{body}edges:\n{''.join(edges)}"


def with_values(value: str, count: int) -> str:
    items = ", ".join([value] * count)
    return f'{HEAD}nodes:\n  a: {{use: "nodes:work", with: {{x: [{items}]}}}}\nedges: [start -> a -> end]\n'


LONG = "state.a" + " + 1" * 240
FILES = {
    "flow lists": "[" * 200_000,
    "flow mappings": "{a: " * 100_000,
    "open mappings": "{" * 200_000,
    "block lists": "- " * 100_000,
    "questions": "? " * 100_000,
    "mixed": "[{a: " * 50_000,
    "flat block list": fill("- a\n"),
    "flat flow list": "[" + fill("a,") + "]",
    "empty items": "[" + fill("[],") + "]",
    "one word": fill("a"),
    "one quoted text": '"' + fill("a") + '"',
    "escapes": '"' + fill("\\x41") + '"',
    "open quote": '"' + fill("a \n "),
    "folded": "a: >\n" + fill("  word\n\n"),
    "comment": "#" + fill("a"),
    "comments": fill("# a\n"),
    "spaces": fill(" "),
    "newlines": fill("\n"),
    "tabs": fill("\t"),
    "indented tabs": "a: {\n" + fill("\tb\n") + "}",
    "tab lines in text": "a: |\n" + fill("  x\n  \ty\n"),
    "spaces after the end": "a: 1\n...\n" + fill(" ") + "x",
    "digits": "a: " + fill("1"),
    "digits with a dot": "a: " + fill("1") + ".5",
    "hexadecimal": "a: 0x" + fill("f"),
    "one key": fill("k") + ": 1",
    "the same key": fill("a: 1\n"),
    "many keys": "".join(f"k{number}: 1\n" for number in range(49_000)),
    "number keys": fill("1: a\n"),
    "tags": "[" + fill("!a b,") + "]",
    "directives": "".join(f"%TAG !a{number}! x\n" for number in range(50_000)) + "---\na",
    "directives after": "a: 1\n...\n" + "".join(f"%TAG !a{number}! x\n" for number in range(40_000)),
    "documents": fill("--- a\n"),
    "anchors": "[" + ",".join(f"&a{number} x" for number in range(60_000)) + "]",
    "aliases": "- &a x\n" + fill("- *a\n"),
    "alias bomb": bomb(9, 9),
    "alias bomb in a row": "a: &a [" + "x," * 400 + "]\n" + "".join(f"b{n}: *a\n" for n in range(99)),
    "text bomb": "a: &a " + "x" * 400_000 + "\n" + "".join(f"b{n}: *a\n" for n in range(99)),
    "alias ladder": "a0: &a0 x\n"
    + "".join(f"a{n}: &a{n} {'[' * 58}*a{n - 1}{']' * 58}\n" for n in range(1, 16)),
    "merge bomb": "a: &a {x: 1}\n" + "".join(f"b{n}: {{<<: *a}}\n" for n in range(90)),
    "recursive": "a: &a [*a, *a]\n",
    "surrogates": fill("\ud800", 300_000),
    "control characters": fill("\x01"),
    "odd line ends": fill("\u2028a"),
    "unknown keys": HEAD + "".join(f"key{number}: 1\n" for number in range(49_000)),
    "unknown nodes' keys": HEAD + "nodes:\n" + "".join(f"  n{n}: {{usse: 1}}\n" for n in range(12_000)),
    "wrong inputs": HEAD + "inputs:\n" + "".join(f"  n{n}: {{type: x}}\n" for n in range(15_000)),
    "many states": HEAD
    + "state:\n"
    + "".join(f"  n{n}: {{type: 'list[X{n}]', default: 1}}\n" for n in range(12_000)),
    "deep type": HEAD + "state: {a: {type: '" + "list[" * 5000 + "'}}\n",
    "many edges": HEAD + "nodes: {a: {use: 'n:x'}}\nedges:\n" + fill("  - a -> a\n", 800_000),
    "one long edge": HEAD + "nodes: {a: {use: 'n:x'}}\nedges:\n  - " + " -> ".join(["a"] * 150_000) + "\n",
    "unknown names in edges": HEAD
    + "nodes: {a: {use: 'n:x'}}\nedges:\n"
    + "".join(f"  - z{n} -> y{n}\n" for n in range(4000)),
    "many branches": HEAD
    + "nodes: {a: {use: 'n:x'}}\nedges:\n  - from: a\n    route:\n"
    + fill("      - {if: 'x', to: a}\n", 700_000),
    "wide": wide_workflow(900, joined=False),
    "wide and joined": wide_workflow(900, joined=True),
    "chain of loops": chain_workflow(900),
    "grid": grid_workflow(22),
    "expressions": with_values('"${{ state.a }}"', 45_000),
    "long expressions": with_values(f'"${{{{ {LONG} }}}}"', 900),
    "one text of expressions": with_values('"' + fill("${{ 1 }} ", 900_000) + '"', 1),
    "broken expressions": with_values('"${{ ((( }}"', 40_000),
    "open holes": with_values('"' + fill("${{ ", 900_000) + '"', 1),
    "dollar signs": with_values('"' + fill("$", 900_000) + '"', 1),
    "quotes in a hole": with_values("'${{" + fill('"', 900_000) + "'", 1),
}


def main() -> None:
    from framework.definition.loader import parse_workflow
    from framework.errors import DefinitionInvalid

    # Once first: what is imported lazily is not the file's cost.
    parse_workflow(f"{HEAD}nodes: {{a: {{use: 'n:x'}}}}\nedges: [start -> a -> end]\n", "f", check_code=False)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    if pages:
        allowed = pages * resource.getpagesize() + 150_000_000
        resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
    resource.setrlimit(resource.RLIMIT_CPU, (90, 90))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, text in FILES.items():
        before = resource.getrusage(resource.RUSAGE_SELF)
        report = ""
        try:
            parse_workflow(text, "hostile.yaml", check_code=False)
            ended = "accepted"
        except DefinitionInvalid as error:
            ended, report = "refused", str(error)
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is the finding
            ended = f"{type(error).__name__}: {error}"[:200]
        after = resource.getrusage(resource.RUSAGE_SELF)
        seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        line = {
            "file": name,
            "seconds": round(seconds, 3),
            "ended": ended,
            "report": report[:300],
            "size": len(report),
        }
        print(json.dumps(line), flush=True)  # a surrogate is escaped by JSON


if __name__ == "__main__":
    main()
