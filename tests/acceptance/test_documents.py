"""What the documents say is what the program does: commands are run, tables and links are checked."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from framework.cli.app import build_app
from framework.storage.backup import find_program
from framework.storage.embedded import leave
from framework.storage.embedded_minder import stop_server
from framework.storage.server import Server
from tests.support import documents
from tests.support.documents import ROOT, Block, Step, Tree
from tests.support.zygote import Zygote

COMPOSE_PSQL = 'docker-compose exec postgres psql -U postgres -d langgraph -c "'
COMPOSE_DUMP = (
    "docker-compose exec -T postgres pg_dump -U postgres -d langgraph --format=custom > holdfast.dump"
)
pytestmark = pytest.mark.timeout(300)
STATE_TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
NOT_RUN = {
    # A container is not everywhere; the file is checked in tests/unit/test_project_files.py.
    "docker-compose up -d",
    "DATABASE_URL=postgresql://postgres:postgres@localhost:5432/langgraph python3 main.py",
    # They would run this test inside itself.
    "python3 main.py test",
    "python3 main.py test tests/unit -k durations",
}
EXIT_CODES = {
    "python3 main.py validate hello/broken.yaml": 2,
    "python3 main.py run refund/workflow.yaml": 3,
}


@pytest.fixture(scope="module")
def tree() -> Iterator[Tree]:
    # Not pytest's tmp_path: as root, the server runs as another account.
    folder = Path(tempfile.mkdtemp(prefix="hf-docs-"))
    folder.chmod(0o755)
    yield Tree(folder)
    data_dir = folder / "holdfast/.holdfast/postgres"
    leave(data_dir)
    stop_server(data_dir)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    made = Zygote()
    yield made
    made.close()


@dataclass(frozen=True)
class FiveCommands:
    """The first block of the README, typed into a shell in the folder of the clone."""

    shown: tuple[str, ...]
    code: int
    printed: str
    url: str
    """The database that they made."""


@pytest.fixture(scope="module")
def five_commands(tree: Tree, zygote: Zygote) -> Iterator[FiveCommands]:
    first = next(step for step in documents.steps(documents.read("README.md")) if isinstance(step, Step))
    assert len(first.commands) == 5
    done = tree.type("\n".join(first.commands), cwd=tree.folder)
    url = tree.fork(zygote, "python3 main.py db url")[1].strip()
    # A user of the server: without one it would stop and start anew between two commands.
    with psycopg.connect(url):
        yield FiveCommands(first.shown, done.returncode, done.stdout, url)


def test_the_five_commands_show_a_run_that_survives_kill_9(five_commands: FiveCommands, tree: Tree) -> None:
    """As printed, on a tree that has never been started; killed in the second, finished in the fourth."""
    printed = five_commands.printed

    assert five_commands.code == 0, printed
    assert documents.missing_output(five_commands.shown, printed) == [], printed
    assert "Killed" in printed
    assert (tree.root / "out/plan.md").is_file()
    assert printed.count("email_collector started") == 1


def test_what_follows_in_the_readme_works_in_its_order(
    five_commands: FiveCommands, tree: Tree, zygote: Zygote
) -> None:
    """Each file is written, each command typed, each line of output looked for."""
    problems: list[str] = []
    ran: list[str] = []
    for step in list(documents.steps(documents.read("README.md")))[1:]:
        problems += _follow(tree, zygote, step, ran)
    assert problems == []
    assert len(ran) > 25


def test_the_examples_of_the_other_documents_work(
    five_commands: FiveCommands, tree: Tree, zygote: Zygote
) -> None:
    """The same for the two languages."""
    problems: list[str] = []
    for name in ("docs/workflow-file.md", "docs/scenario-file.md"):
        for step in documents.steps(documents.read(name)):
            problems += _follow(tree, zygote, step, [])
    assert problems == []


def _follow(tree: Tree, zygote: Zygote, step: Block | Step, ran: list[str]) -> list[str]:
    """Do what a document says next; return what went otherwise."""
    if isinstance(step, Block):
        assert step.file
        path = tree.root / step.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(step.text, "utf-8")
        return []
    problems, printed = [], ""
    for command in step.commands:
        if command in NOT_RUN:
            continue
        code, output = _type(tree, zygote, command, ran)
        expected = _expected_code(tree, command)
        if code != expected:
            problems.append(f"{command} ended with {code}, not {expected}: {output}")
        printed += output
        ran.append(command)
    missing = documents.missing_output(step.shown, printed)
    return problems + [f"line {step.line}: not printed: {line}\n{printed}" for line in missing]


def _expected_code(tree: Tree, command: str) -> int:
    is_slack_down = "\nactive_scenario: slack" in (tree.root / "config/mock_config.yaml").read_text("utf-8")
    return 1 if is_slack_down and command == "python3 main.py" else EXIT_CODES.get(command, 0)


def _type(tree: Tree, zygote: Zygote, command: str, ran: list[str]) -> tuple[int, str]:
    if command.startswith(COMPOSE_PSQL):
        # The server of the container has the same tables; only the way to it differs.
        same = "python3 main.py db psql -c " + command.removeprefix(COMPOSE_PSQL[:-1])
        return (0, "") if same in ran else tree.fork(zygote, same)
    if command == COMPOSE_DUMP:
        url = tree.fork(zygote, "python3 main.py db url")[1].strip()
        program = find_program("pg_dump", Server(url=url, kind="embedded", display=""))
        done = subprocess.run([program, "--format=custom", "-d", url], capture_output=True, check=False)
        return done.returncode, done.stderr.decode()
    if "python3 main.py" in command:
        return tree.fork(zygote, command)
    done = tree.type(
        command.replace(".venv/bin/python", "python3").replace("cd holdfast", "true"), cwd=tree.root
    )
    return done.returncode, done.stdout


def test_the_clean_up_in_sql_leaves_threads_that_are_still_needed(
    five_commands: FiveCommands, tree: Tree, zygote: Zygote
) -> None:
    """What ended seven days ago goes, with its checkpoints; a thread with an unfinished run stays."""
    (statement,) = [command for _, command in documents.every_command() if "DELETE FROM" in command]
    assert tree.fork(zygote, "python3 main.py run support-triage --thread old")[0] == 0
    assert tree.fork(zygote, "python3 main.py run support-triage --thread busy")[0] == 0
    assert tree.fork(zygote, "python3 main.py run support-triage --thread busy --detach")[0] == 0
    counts = (
        "select count(*) filter (where thread_id = 'old'), count(*) filter (where thread_id = 'busy') from {}"
    )
    with psycopg.connect(five_commands.url, autocommit=True) as conn:
        conn.execute(
            "update holdfast.run set ended_at = now() - interval '8 days' where ended_at is not null"
            " and thread_id in ('old', 'busy')"
        )
        # It counts runs, so also the one whose thread is still needed.
        told = tree.fork(zygote, "python3 main.py prune --older-than 7d --dry-run")[1]
        assert "would remove 2 runs" in told

        code, said = _type(tree, zygote, statement, [])

        assert code == 0, said
        for table in (*STATE_TABLES, "holdfast.run", "holdfast.thread"):
            old, busy = conn.execute(counts.format(table)).fetchone()  # type: ignore[misc]
            assert (old, busy > 0) == (0, True), table


def test_what_is_often_believed_is_false(five_commands: FiveCommands) -> None:
    """The README corrects four beliefs about LangGraph's tables; here is the database that it speaks of."""
    with psycopg.connect(five_commands.url) as conn:

        def one(statement: str) -> object:
            return conn.execute(statement).fetchone()[0]  # type: ignore[arg-type,index]

        assert one("select count(distinct checkpoint_ns) from checkpoints") == 1
        assert one("select max(checkpoint_ns) from checkpoints") == ""
        for table in STATE_TABLES:
            assert one(f"select count(*) from {table} t where t::text like '%\\_\\_end\\_\\_%'") == 0
        tables = conn.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        assert {name for (name,) in tables} == {*STATE_TABLES, "checkpoint_migrations"}


def test_each_recipe_is_given_for_both_servers_with_the_same_sql() -> None:
    """Who copies the second line gets what the first one shows."""
    ours, theirs = [], []
    for _, command in documents.every_command():
        if command.startswith("python3 main.py db psql -c "):
            ours.append(command.removeprefix("python3 main.py db psql -c "))
        elif command.startswith(COMPOSE_PSQL):
            theirs.append(command.removeprefix(COMPOSE_PSQL[:-1]))
    assert len(ours) >= 4
    assert [sql for sql in theirs if "DELETE" not in sql] == ours


def test_no_command_is_left_out() -> None:
    """A command that no test types is one that will be wrong."""
    followed = {"README.md", "workflow-file.md", "scenario-file.md"}
    known = ("python3 main.py", "docker-compose", ".venv/bin/python", "sed ", "cd holdfast")
    for document, command in documents.every_command():
        if document == "RUN_DURABILITY_TESTS.md":
            assert command.startswith("python3 main.py test"), command
        else:
            assert document in followed, f"{document}: {command}"
            assert any(word in command for word in known), command


class _Collector:
    """A pytest plugin that keeps what was collected."""

    def __init__(self) -> None:
        self.nodes: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.nodes = [item.nodeid for item in session.items]


def _collected(files: list[str]) -> list[str]:
    """`pytest --collect-only`, in this process: most of the modules are imported already."""
    collector = _Collector()
    arguments = ["--collect-only", "-qq", "--rootdir", str(ROOT), "-p", "no:cacheprovider"]
    code = pytest.main([*arguments, *(str(ROOT / file) for file in files)], plugins=[collector])
    assert code == pytest.ExitCode.OK
    return collector.nodes


def test_the_tests_that_are_named_exist() -> None:
    """Each command of RUN_DURABILITY_TESTS.md selects something, and only in files that are there."""
    text = documents.read("RUN_DURABILITY_TESTS.md")
    named = re.findall(r"`python3 main\.py test ([^`]+)`", text)
    assert len(named) >= 14
    files, words = set(), []
    for arguments in named:
        parts = [word for word in shlex.split(arguments) if word != "--long"]
        paths = [word for word in parts if word.startswith("tests/")]
        for path in paths:
            assert (ROOT / path.partition("::")[0]).exists(), path
            files.add(path.partition("::")[0])
        if "-k" in parts:
            words.append((paths, parts[parts.index("-k") + 1]))
    nodes = _collected(sorted(files))
    for paths, expression in words:
        wanted = [part for part in re.split(r"\s+(?:or|and)\s+", expression) if part]
        for word in wanted:
            assert any(word in node and node.startswith(tuple(paths)) for node in nodes), f"{paths} -k {word}"
    known = {re.sub(r"\[.*", "", node.rpartition("::")[2]) for node in nodes}
    assert set(re.findall(r"`(test_\w+)`", text)) <= known


def _everything_written() -> str:
    return "\n".join(path.read_text("utf-8") for path in documents.documents())


def test_every_verb_is_in_the_readme() -> None:
    """Sub-verbs too: what is not there is not found."""
    readme = documents.read("README.md")
    group = build_app(None, program="x")
    for name, command in group.commands.items():
        assert re.search(rf"`(?:python3 main\.py )?{name}\b", readme), name
        context = group.make_context("x", [name, "--help"], resilient_parsing=True)
        real = command._verb.load() if hasattr(command, "_verb") else group.get_command(context, name)
        (row,) = [line for line in readme.splitlines() if re.match(rf"\| `{name}\b", line)]
        for sub in getattr(real, "commands", {}):
            assert re.search(rf"\b{sub}`", row), f"{name} {sub}"


def test_every_setting_stands_in_the_reference_as_it_is() -> None:
    """With its default and its meaning, so that a change of one is a change of the other."""
    assert documents.settings_table() in documents.read("docs/reference.md")


def test_every_scenario_stands_in_the_reference_as_it_is() -> None:
    assert documents.scenario_table() in documents.read("docs/reference.md")


def test_every_error_code_stands_in_the_reference_and_no_other() -> None:
    section = documents.read("docs/reference.md").partition("## Error codes")[2].partition("\n## ")[0]

    assert set(re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)) == documents.error_codes()


def test_every_key_of_the_two_languages_is_explained() -> None:
    """The models of the files are what the program reads."""
    from framework.definition import shape
    from framework.definition.functions import FUNCTIONS
    from framework.faults.file_model import FaultShape
    from framework.graph.node_context import NodeContext

    workflow, scenario = documents.read("docs/workflow-file.md"), documents.read("docs/scenario-file.md")
    models = [
        found for found in vars(shape).values() if isinstance(found, type) and issubclass(found, shape.Shape)
    ]
    for model in models:
        for name, field in model.model_fields.items():
            assert re.search(rf"\b{field.alias or name}\b", workflow), f"{model.__name__}.{name}"
    for name in [*FUNCTIONS, *(word for word in vars(NodeContext) if not word.startswith("_"))]:
        assert re.search(rf"`{name}\b", workflow), name
    for name, field in FaultShape.model_fields.items():
        assert f"`{field.alias or name}" in scenario, name
    for word in set().union(*shape.NOT_YET_SUPPORTED.values()) - {"on_error", "effects"}:
        assert f"`{word}`" in workflow.partition("## Not in this version")[2], word


def test_links_lead_somewhere() -> None:
    """Files, and the headings in them."""
    for path in documents.documents():
        for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", path.read_text("utf-8")):
            file, _, anchor = target.partition("#")
            there = path.parent / file if file else path
            assert there.exists(), f"{path.name}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", there.read_text("utf-8"), re.MULTILINE)
                anchors = [re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings]
                assert anchor in anchors, f"{path.name}: {target}"


def test_files_that_are_named_exist() -> None:
    """A map of a tree is worth what is still true of it."""
    for path in documents.documents():
        text = path.read_text("utf-8")
        for name in re.findall(r"`((?:framework|workflows|mocks|tests|config|docs)/[\w./-]*\w)`", text):
            place = next(iter(documents.blocks(text)), None)
            written = {block.file for block in documents.blocks(text) if block.file} if place else set()
            assert (ROOT / name).exists() or name in written, f"{path.name}: {name}"


@pytest.mark.parametrize("path", documents.documents(), ids=lambda path: path.name)
def test_nothing_of_the_writers_machine_is_left(path: Path) -> None:
    """Paths, package indexes, names of hosts: they are nobody else's."""
    text = path.read_text("utf-8")

    assert not re.search(r"(?<![\w.])/(?:home|root|tmp|work|Users|var/folders)/", text)
    assert not re.search(r"index-url|pypi\.|--extra-index", text)
    for address in re.findall(r"https?://[^\s)`\"']+", text):
        assert re.match(r"https?://(?:localhost|keepachangelog\.com|semver\.org|example\.)", address), address


@pytest.mark.parametrize("path", documents.documents(), ids=lambda path: path.name)
def test_one_sentence_stands_on_each_line(path: Path) -> None:
    """A change of one sentence is a change of one line."""
    prose = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for line in prose.splitlines():
        if re.match(r"\||#|\s*(?:-|\d+\.) ", line):
            continue
        plain = re.sub(r"`[^`]*`|\([^)]*\)", "x", line)
        assert not re.search(r"[a-z][.!?] [A-Z]", plain), line
