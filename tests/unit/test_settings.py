"""Settings: five sources, one order, and every mistake with its place."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from framework.definition.source import read_document
from framework.env_file import parse_env
from framework.errors import DatabaseUrlInvalid, SettingsError
from framework.settings import FILES, Settings, load_settings, setting_keys
from framework.settings_schema import config_schemas, schema_text

ROOT = Path(__file__).resolve().parents[2]


class Project:
    """A folder to put configuration into."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "config").mkdir()

    def write(self, section: str, text: str) -> None:
        (self.root / "config" / f"{section}_config.yaml").write_text(text)

    def env(self, text: str) -> None:
        (self.root / ".env").write_text(text)

    def load(self, overrides: dict[str, str] | None = None, **environ: str):
        return load_settings(self.root, environ=environ, overrides=overrides)

    def refusal(self, overrides: dict[str, str] | None = None, **environ: str) -> str:
        with pytest.raises(SettingsError) as caught:
            self.load(overrides, **environ)
        return caught.value.message


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_without_any_source_everything_has_its_default(tmp_path: Path):
    settings, origins = load_settings(tmp_path, environ={"PATH": "/bin"})

    assert settings == Settings(root=tmp_path.resolve())
    assert set(origins.values()) == {"default"}
    assert set(origins) == {".".join(key) for key in setting_keys()}


def test_the_later_source_wins_and_says_so(project: Project):
    name = "HOLDFAST__MOCK__ACTIVE_SCENARIO"
    key = "mock.active_scenario"
    seen = []
    for add, environ, overrides in (
        (lambda: None, {}, {}),
        (lambda: project.write("mock", "# x\nactive_scenario: file\n"), {}, {}),
        (lambda: project.env(f"\n{name}=dotenv\n"), {}, {}),
        (lambda: None, {name: "environment"}, {}),
        (lambda: None, {name: "environment"}, {key: "words"}),
    ):
        add()
        settings, origins = project.load(overrides, **environ)
        seen.append((settings.mock.active_scenario, origins[key]))

    assert seen == [
        ("default", "default"),
        ("file", "config/mock_config.yaml:2"),
        ("dotenv", ".env:2"),
        ("environment", f"environment {name}"),
        ("words", "command line"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "key", "expected"),
    [
        ("HOLDFAST__DURABILITY__ENABLED", "false", "durability.enabled", False),
        ("HOLDFAST__MOCK__ENABLED", "no", "mock.enabled", False),
        (
            "HOLDFAST__WORKFLOWS__FOLDERS",
            '["my/workflows"]',
            "framework.workflows.folders",
            (Path("my/workflows"),),
        ),
        ("HOLDFAST__RESUME__AUTO_RESUME", "0", "durability.resume.auto_resume", False),
        ("HOLDFAST__LEASE__DURATION", "1m", "durability.lease.duration", timedelta(minutes=1)),
        ("HOLDFAST__LOGGING__LEVEL", "debug", "framework.logging.level", "debug"),
        ("holdfast__logging__Level", "debug", "framework.logging.level", "debug"),
        ("HOLDFAST__FRAMEWORK__LOGGING__LEVEL", "info", "framework.logging.level", "info"),
        ("HOLDFAST__POSTGRES__HOST", "db", "durability.postgres.host", "db"),
        ("HOLDFAST__DURABILITY__POSTGRES__PORT", "6543", "durability.postgres.port", 6543),
        ("HOLDFAST__WORKER_NAME", "null", "framework.worker_name", None),
        ("DATABASE_URL", "postgres://u:p@h/d", "durability.postgres.url", "postgresql://u:p@h/d"),
        (
            "HOLDFAST__POSTGRES__URL",
            "postgresql+asyncpg://h/d",
            "durability.postgres.url",
            "postgresql://h/d",
        ),
        ("WORKER_NAME", "w1", "framework.worker_name", "w1"),
        ("CHECKPOINTER_POOL_SIZE", "9", "durability.postgres.pool_size", 9),
    ],
)
@pytest.mark.parametrize("where", ["environment", ".env"])
def test_a_name_means_one_setting(
    project: Project, where: str, name: str, text: str, key: str, expected: object
):
    if where == ".env":
        project.env(f"{name}={text}")
    settings, origins = project.load(**({name: text} if where == "environment" else {}))

    value: object = settings
    for part in key.split("."):
        value = getattr(value, part)
    assert value == expected
    assert origins[key] == (f"environment {name}" if where == "environment" else ".env:1")


def test_database_url_wins_over_our_own_name_of_the_same_source(project: Project):
    project.env("DATABASE_URL=postgresql://dotenv/d\n")

    beside, _ = project.load(HOLDFAST__POSTGRES__URL="postgresql://ours/d")
    both, _ = project.load(
        HOLDFAST__POSTGRES__URL="postgresql://ours/d", DATABASE_URL="postgresql://theirs/d"
    )

    assert beside.durability.postgres.url == "postgresql://ours/d"
    assert both.durability.postgres.url == "postgresql://theirs/d"


def test_an_empty_variable_counts_as_not_set(project: Project):
    settings, _ = project.load(DATABASE_URL="", HOLDFAST__MOCK__SEED=" ")

    assert settings.durability.postgres.url is None


def test_foreign_names_are_left_alone(project: Project):
    project.env("OPENAI_API_KEY=x\nHOLDFAST_NO_BOOTSTRAP=1\n")

    project.load(HOLDFAST_HOME="x", HOME="/")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("HOLDFAST__MOCK__ACTIV_SCENARIO", "x", "did you mean HOLDFAST__MOCK__ACTIVE_SCENARIO?"),
        ("HOLDFAST__LEASE__DURATON", "x", "did you mean HOLDFAST__LEASE__DURATION?"),
        ("HOLDFAST__X", "x", "main.py config show"),
        ("HOLDFAST__ENABLED", "x", "HOLDFAST__DURABILITY__ENABLED or HOLDFAST__MOCK__ENABLED"),
        (
            "HOLDFAST__POSTGRES",
            "x",
            "section, not a setting\nhint: name one of its keys, such as HOLDFAST__DURABILITY",
        ),
        ("HOLDFAST__DURABILITY", "x", "section, not a setting"),
        ("HOLDFAST__LEASE__DURATION", "15", "durability.lease.duration: 15 has no unit; did you mean 15s?"),
        ("HOLDFAST__WORKFLOWS__FOLDERS", "a,b", 'it is written as JSON: ["a", "b"]'),
        ("HOLDFAST__POSTGRES__PORT", "many", "durability.postgres.port: a whole number is expected"),
        ("HOLDFAST__RESUME__MAX_AGE_HOURS", "inf", "durability.resume.max_age_hours"),
        ("HOLDFAST__ENGINE", "celery", "local is expected"),
    ],
)
@pytest.mark.parametrize("where", ["environment", ".env"])
def test_a_mistake_in_a_variable_names_it(project: Project, where: str, name: str, text: str, said: str):
    if where == ".env":
        project.env(f"# x\n{name}={text}")
    message = project.refusal(**({name: text} if where == "environment" else {}))

    assert message.startswith(f"environment {name}: " if where == "environment" else ".env:2: ")
    assert said in message


def test_two_spellings_of_one_setting_must_agree(project: Project):
    message = project.refusal(HOLDFAST__MOCK__SEED="1", holdfast__mock__seed="2")

    assert "mock.seed is also given by" in message


def test_the_command_line_takes_short_and_full_keys(project: Project):
    settings, _ = project.load({"lease.duration": "30s", "mock.seed": "4"})

    assert (settings.durability.lease.duration, settings.mock.seed) == (timedelta(seconds=30), 4)
    assert "did you mean mock.seed?" in project.refusal({"mock.sed": "1"})


def test_every_mistake_of_a_file_is_shown_with_its_place(project: Project):
    project.write(
        "durability", "enabled: true\nposgres:\n  url: x\nlease:\n  duration: 15\nresume:\n  failed: maybe\n"
    )
    first = project.refusal()
    project.write("durability", "enabled: true\nlease:\n  duration: 15\nresume:\n  failed: maybe\n")
    second = project.refusal()

    assert first == (
        "config/durability_config.yaml:2:1: posgres: unknown key\n"
        "    2 | posgres:\n"
        "      | ^^^^^^^\n"
        "hint: did you mean 'postgres'?"
    )
    assert second == (
        "config/durability_config.yaml:3:13: lease.duration: 15 has no unit; did you mean 15s? "
        "write a number and a unit, such as 500ms, 15s, 5m, 8h or 7d\n"
        "    3 |   duration: 15\n"
        "      |             ^^\n\n"
        "config/durability_config.yaml:5:11: resume.failed: at_start or never is expected\n"
        "    5 |   failed: maybe\n"
        "      |           ^^^^^"
    )


@pytest.mark.parametrize(
    ("section", "text", "said"),
    [
        ("mock", "enabled: [", "not valid YAML"),
        ("mock", "- a\n", "a mapping of settings is expected"),
        ("mock", "seed: 1\nseed: 2\n", "duplicate key"),
        ("mock", "active_scenario: 5\n", "put it in quotes"),
        ("mock", "seed: true\n", "a number is expected, not true or false"),
        ("durability", "postgres: 5\n", "postgres: a mapping of settings is expected"),
        ("durability", "lease: {duration: 0s}\n", "longer than nothing"),
        ("durability", "lease: {duration: 8s}\n", "heartbeat (5s) must be at most half of duration (8s)"),
        ("durability", "postgres: {pool_size: 0}\n", "greater than or equal to 1"),
        ("framework", "workflows: {folders: here}\n", "a list is expected"),
    ],
)
def test_a_wrong_file_is_refused(project: Project, section: str, text: str, said: str):
    project.write(section, text)

    message = project.refusal()

    assert message.startswith(f"config/{section}_config.yaml:")
    assert said in message


def test_a_section_that_holds_only_comments_is_empty(project: Project):
    project.write("durability", "postgres:\n  # host: x\nlease:\n")
    project.write("mock", "# nothing\n")

    assert project.load()[0].durability == Settings(root=project.root).durability


def test_a_report_does_not_show_passwords(project: Project):
    project.write("durability", "postgres:\n  password: 123456789\n")
    number = project.refusal()
    project.write("durability", "postgres:\n  password: top-secret\n  hots: x\n bad")
    broken = project.refusal()
    project.write("durability", "postgres: {url: 'postgresql://u:top-secret@h/d', password: [top-secret]}\n")
    listed = project.refusal()

    assert "put it in quotes" in number
    assert "123456789" not in number
    assert "top-secret" not in broken + listed


def test_a_wrong_address_says_where_it_stands_and_hides_the_password(project: Project):
    project.write("durability", "postgres:\n  url: mysql://u:secret@h/d\n")
    with pytest.raises(DatabaseUrlInvalid) as in_file:
        project.load()
    with pytest.raises(DatabaseUrlInvalid) as in_environment:
        project.load(DATABASE_URL="localhost")

    assert in_file.value.message.startswith("config/durability_config.yaml:2: 'mysql://u:***@h/d' is not")
    assert in_environment.value.message.startswith("environment DATABASE_URL: 'localhost' is not")


def test_without_the_embedded_server_another_one_must_be_named(project: Project):
    assert "neither a url nor a host" in project.refusal(HOLDFAST__POSTGRES__EMBEDDED="false")

    project.load(HOLDFAST__POSTGRES__EMBEDDED="false", DATABASE_URL="postgresql://h/d")
    project.load(HOLDFAST__POSTGRES__EMBEDDED="false", HOLDFAST__DURABILITY__ENABLED="false")


def test_secrets_are_not_in_the_repr(project: Project):
    settings, _ = project.load(
        DATABASE_URL="postgresql://u:topsecret@h/d", HOLDFAST__POSTGRES__PASSWORD="topsecret"
    )

    assert "topsecret" not in repr(settings)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("A=b", "b"),
        ("export A=b", "b"),
        ("  A = b  # comment", "b"),
        ("A=b#c", "b#c"),
        ("A=", ""),
        ("A=# comment", ""),
        ("A='b # c' # d", "b # c"),
        ('A="b\\n\\"c\\" # d"', 'b\n"c" # d'),
        ("A='$HOME'", "$HOME"),
        ("A=a=b", "a=b"),
        ('A=["x", "y"]', '["x", "y"]'),
    ],
)
def test_a_line_of_a_dotenv_file(line: str, expected: str):
    assert parse_env(f"# first\n\n{line}\n") == ([("A", expected, 3)], [])


@pytest.mark.parametrize(
    ("line", "column"), [("nonsense", 1), ("  =x", 3), ("A='open", 3), ('A="x" y', 3), ("1A=x", 1)]
)
def test_a_broken_line_of_a_dotenv_file_has_its_place(project: Project, line: str, column: int):
    project.env(f"A=b\n{line}\n")

    assert project.refusal().startswith(f".env:2:{column}: ")


@pytest.mark.parametrize("section", list(FILES))
def test_the_committed_file_lists_every_key_with_its_default(section: str):
    path = ROOT / "config" / f"{section}_config.yaml"
    document = read_document(path.read_text("utf-8"), path.name)
    settings, origins = load_settings(ROOT, environ={})

    listed = {key for key, origin in origins.items() if origin.startswith(f"config/{section}_config.yaml:")}

    assert document.text.startswith(f"# yaml-language-server: $schema=schema/{section}_config.schema.json\n")
    assert listed == {".".join(key) for key in setting_keys() if key[0] == section}
    assert getattr(settings, section) == FILES[section]()


@pytest.mark.parametrize("name", list(config_schemas()))
def test_the_committed_schema_is_current(name: str):
    committed = (ROOT / "config" / "schema" / name).read_text("utf-8")

    assert committed == schema_text(config_schemas()[name]), (
        "the models have changed; call framework.settings_schema.write_config_schemas(Path('config/schema'))"
    )
    assert json.loads(committed)["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_every_setting_is_described():
    for section in config_schemas().values():
        parts = [section, *section.get("definitions", {}).values()]
        for part in parts:
            assert part["description"]
            for name, value in part["properties"].items():
                assert "$ref" in value or value.get("description"), name
