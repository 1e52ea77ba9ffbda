"""One attempt at a run: what is saved, what a resume repeats, and how an attempt can end."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable

import psycopg
import pytest
from langgraph.checkpoint.postgres import PostgresSaver
from psycopg.rows import dict_row

from framework.durability.manager import DurabilityManager
from framework.durability.run import RunStatus
from framework.errors import InputInvalid
from framework.settings import Settings
from tests.support.manager import Folder, drive, recover, start

SIBLINGS = """
    version: 1
    name: siblings
    state:
      log: {type: "list[str]", reducer: append}
    nodes:
      quick: {use: "nodes:quick", writes: [log]}
      slow: {use: "nodes:slow", writes: [log]}
      bad: {use: "nodes:bad", writes: [log], retry: {max_attempts: 2, initial: 10ms}}
      last: {use: "nodes:last", writes: [log]}
    edges:
      - start -> [quick, slow, bad]
      - "[quick, slow, bad] -> last"
      - last -> end
"""
SIBLING_NODES = """
    import asyncio, time
    async def quick():
        effect("quick")
        return ["quick"]
    def slow():
        time.sleep(0.3)
        effect("slow")
        return ["slow"]
    def bad():
        effect("bad")
        if not (Path(__file__).parent / "mended").exists():
            raise ConnectionError("no answer")
        return ["bad"]
    def last():
        effect("last")
        return ["last"]
"""


def test_a_failing_node_neither_cancels_nor_loses_its_siblings(
    folder: Folder, open_another: Callable[[], DurabilityManager]
) -> None:
    """They finish and are saved; the next start runs the failed node and nothing that was saved."""
    folder.write(SIBLINGS, SIBLING_NODES)
    manager = open_another()
    run = start(manager, folder)
    ending = drive(manager, run)
    assert ending.status is RunStatus.FAILED
    assert ending.error["node"] == "bad"
    assert folder.effects == Counter(quick=1, slow=1, bad=2)
    (folder.path / "mended").touch()

    report = recover(open_another())

    assert [ending.status for ending in report.endings] == [RunStatus.SUCCEEDED]
    assert folder.effects == Counter(quick=1, slow=1, bad=3, last=1)
    assert sorted(report.endings[0].output["log"]) == ["bad", "last", "quick", "slow"]


def test_the_head_of_an_ended_run_is_what_stock_langgraph_reads(
    folder: Folder, manager: DurabilityManager, settings: Settings
) -> None:
    """Leaving Holdfast costs nothing: the rows are LangGraph's own."""
    folder.write(SIBLINGS, SIBLING_NODES)
    (folder.path / "mended").touch()
    run = start(manager, folder)
    assert drive(manager, run).status is RunStatus.SUCCEEDED
    url = settings.durability.postgres.url
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as conn:
        head = PostgresSaver(conn).get_tuple({"configurable": {"thread_id": run.thread_id}})
    assert sorted(head.checkpoint["channel_values"]["log"]) == ["bad", "last", "quick", "slow"]
    assert head.metadata["holdfast_run"] == run.run_id


def test_a_second_run_of_a_thread_goes_on_from_its_state(folder: Folder, manager: DurabilityManager) -> None:
    """A conversation keeps one thread over many runs; each begins with its own input on the old state."""
    folder.write(
        """
        version: 1
        name: talk
        inputs: {word: {type: string}}
        state: {said: {type: "list[str]", reducer: append, default: [hello]}}
        nodes: {say: {use: "nodes:say", with: {word: "${{ inputs.word }}"}, writes: [said]}}
        edges: [start -> say -> end]
        limits: {max_steps: 1}
        """,
        """
        def say(word):
            effect("say")
            return [word]
        """,
    )
    first = start(manager, folder, {"word": "one"}, thread="talk")
    second = start(manager, folder, {"word": "two"}, thread="talk")
    assert drive(manager, first).output == {"said": ["hello", "one"]}
    assert drive(manager, second).output == {"said": ["hello", "one", "two"]}
    assert folder.effects["say"] == 2


@pytest.mark.parametrize("limit", [3, 4])
def test_max_steps_counts_over_resumes(
    folder: Folder, open_another: Callable[[], DurabilityManager], limit: int
) -> None:
    """LangGraph's own limit begins anew at each resume; ours belongs to the run."""
    folder.write(
        f"""
        version: 1
        name: steps
        nodes:
          a: {{use: "nodes:a"}}
          b: {{use: "nodes:b"}}
          c: {{use: "nodes:c"}}
          d: {{use: "nodes:d"}}
        edges: [start -> a -> b -> c -> d -> end]
        limits: {{max_steps: {limit}}}
        """,
        """
        def a(): effect("a")
        def b():
            effect("b")
            if not (Path(__file__).parent / "mended").exists():
                (Path(__file__).parent / "mended").touch()
                raise ValueError("once")
        def c(): effect("c")
        def d(): effect("d")
        """,
    )
    run = start(open_another(), folder)
    assert drive(open_another(), run).status is RunStatus.FAILED
    ending = drive(open_another(), run)
    if limit == 4:
        assert ending.status is RunStatus.SUCCEEDED
    else:
        assert ending.status is RunStatus.FAILED
        assert "more than 3 steps" in ending.error["message"]
        assert folder.effects["d"] == 0


def test_an_output_that_cannot_be_stored_fails_its_node_by_name(
    folder: Folder, manager: DurabilityManager
) -> None:
    """Before it counts as done, and with the key; LangGraph would turn the tuple into a list in silence."""
    folder.write(
        """
        version: 1
        name: odd
        state: {pair: {type: object}}
        nodes: {make: {use: "nodes:make", writes: [pair]}, after: {use: "nodes:after"}}
        edges: [start -> make -> after -> end]
        """,
        """
        def make(): return {"pair": {"inner": (1, 2)}}
        def after(): effect("after")
        """,
    )
    ending = drive(manager, start(manager, folder))
    assert ending.status is RunStatus.FAILED
    assert "pair" in ending.error["message"]
    assert "tuple" in ending.error["message"]
    assert folder.effects == Counter()


def test_a_drain_stops_at_a_step_boundary_and_hands_the_run_back(
    folder: Folder, open_another: Callable[[], DurabilityManager]
) -> None:
    """Nothing in flight is lost or repeated, and it is no crash."""
    folder.write(
        """
        version: 1
        name: long
        nodes: {a: {use: "nodes:a"}, b: {use: "nodes:b"}}
        edges: [start -> a -> b -> end]
        """,
        """
        import time
        def a():
            time.sleep(0.3)
            effect("a")
        def b(): effect("b")
        """,
    )
    manager = open_another()
    run = start(manager, folder)

    def observe(kind, node_try, facts):
        if kind == "started":
            manager.request_drain()

    ending = drive(manager, run, observe=observe)
    assert ending.status is RunStatus.PENDING
    assert folder.effects == Counter(a=1)
    report = recover(open_another())
    assert [ending.status for ending in report.endings] == [RunStatus.SUCCEEDED]
    assert folder.effects == Counter(a=1, b=1)
    assert manager.get(run.run_id).crashes == 0


def test_a_cancelled_run_stops_at_a_step_boundary(
    folder: Folder, manager: DurabilityManager, open_another: Callable[[], DurabilityManager]
) -> None:
    """Its driver is told by the heartbeat; what was saved stays."""
    folder.write(
        """
        version: 1
        name: long
        nodes: {a: {use: "nodes:a"}, b: {use: "nodes:b"}}
        edges: [start -> a -> b -> end]
        """,
        """
        import asyncio
        async def a():
            for _ in range(200):
                await asyncio.sleep(0.05)
                if (Path(__file__).parent / "go").exists():
                    break
            effect("a")
        def b(): effect("b")
        """,
    )
    run = start(manager, folder)
    other = open_another()
    manager._heartbeat._interval = 0.05

    def observe(kind, node_try, facts):
        if kind == "started" and node_try.node == "a":
            assert other.cancel(other.get(run.run_id)) is RunStatus.RUNNING
            asyncio.get_running_loop().call_later(0.5, (folder.path / "go").touch)

    assert drive(manager, run, observe=observe).status is RunStatus.CANCELLED
    assert folder.effects == Counter(a=1)


def test_a_node_that_lost_its_lease_saves_nothing_and_the_next_node_does_not_run(
    folder: Folder, manager: DurabilityManager, open_another: Callable[[], DurabilityManager]
) -> None:
    """What a frozen process finds when it wakes: its fence is old."""
    folder.write(
        """
        version: 1
        name: zombie
        state: {log: {type: "list[str]", reducer: append}}
        nodes: {a: {use: "nodes:a", writes: [log]}, b: {use: "nodes:b", writes: [log]}}
        edges: [start -> a -> b -> end]
        """,
        """
        def a(ctx):
            effect(f"a{ctx.attempt}")
            return [f"a{ctx.attempt}"]
        def b(ctx):
            effect(f"b{ctx.attempt}")
            return [f"b{ctx.attempt}"]
        """,
    )
    run = start(manager, folder)
    other = open_another()
    successor = []

    def observe(kind, node_try, facts):
        if kind == "started" and node_try.node == "a" and not successor:
            with other.database.connection() as conn:
                conn.execute("update holdfast.lease set expires_at = now() - interval '1 s'")

            def take_over():
                successor.append(asyncio.run(other.drive(run, reason="takeover")))

            worker = threading.Thread(target=take_over)
            worker.start()
            worker.join(timeout=20)

    zombie = drive(manager, run, observe=observe)
    assert successor[0].status is RunStatus.SUCCEEDED
    assert zombie.status is None, "it may not say how the run ended"
    assert "another process" in zombie.detail or "taken over" in zombie.detail
    assert manager.get(run.run_id).output == {"log": ["a2", "b2"]}
    assert folder.effects == Counter(a2=1, b2=1, a1=1), "the zombie's next node did not run"
    with manager.database.connection() as conn:
        forks = conn.execute(
            "select parent_checkpoint_id from checkpoints where checkpoint_ns = ''"
            " and parent_checkpoint_id is not null"
            " group by 1 having count(*) > 1"
        ).fetchall()
        fences = conn.execute(
            "select distinct metadata ->> 'holdfast_fence' as fence from checkpoints"
        ).fetchall()
    assert forks == []
    assert {row["fence"] for row in fences} <= {"1", "2"}


def test_connections_that_are_killed_in_mid_run_cost_a_retry_not_the_run(
    folder: Folder, manager: DurabilityManager
) -> None:
    """Every backend of ours is terminated while each node runs."""
    folder.write(SIBLINGS, SIBLING_NODES)
    (folder.path / "mended").touch()
    run = start(manager, folder)
    killed = []

    def observe(kind, node_try, facts):
        if kind == "started":
            with psycopg.connect(manager.database.url, autocommit=True) as conn:
                rows = conn.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()"
                    " and backend_type = 'client backend'"
                ).fetchall()
                killed.extend(rows)

    assert drive(manager, run, observe=observe).status is RunStatus.SUCCEEDED
    assert len(killed) >= 2, "the fault has to fire"
    assert folder.effects == Counter(quick=1, slow=1, bad=1, last=1)


def test_an_error_with_odd_characters_still_ends_its_run(folder: Folder, manager: DurabilityManager) -> None:
    """PostgreSQL refuses NUL and half a surrogate pair; a run that cannot be told failed runs for ever."""
    folder.write(
        """
        version: 1
        name: odd-words
        inputs: {text: {type: string}}
        nodes: {say: {use: "nodes:say"}}
        edges: [start -> say -> end]
        """,
        """
        def say(): raise ValueError("a\\0b \\ud800 c")
        """,
    )
    ending = drive(manager, start(manager, folder, {"text": "fine"}))
    assert ending.status is RunStatus.FAILED
    stored = manager.get(ending.run_id).error["message"]
    assert stored.startswith("a")
    assert stored.endswith("c")
    with pytest.raises(InputInvalid, match="text"):
        start(manager, folder, {"text": "a\0b"})
