"""When a fault strikes, how often, and what the next process knows of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from framework.errors import ExpressionError
from framework.faults.injector import FaultInjector
from framework.faults.reader import load_scenario
from framework.faults.record import FiredFault
from framework.graph.context import FaultScope, Point, StandIn
from tests.unit.faults.support import Cuts, FileRecords, a_commit, a_try, injector

ROOT = Path(__file__).resolve().parents[3]
RAISE = "  - {node: extract, where: inside, raise: {type: ConnectionError, message: refused}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where firings are kept, over all processes of a test."""
    return tmp_path / "fired.jsonl"


def strike(hook: FaultInjector, scope: FaultScope, point: Point = Point.INSIDE) -> bool:
    """Whether a fault raised, after the node's wrapper announced the try."""

    async def ask() -> bool:
        await hook.at(Point.BEFORE, scope)
        try:
            await hook.at(point, scope)
        except ConnectionError:
            return True
        return False

    return asyncio.run(ask())


def died(path: Path, scope: FaultScope, *, number: int, rule: int = 0) -> None:
    """What a process leaves behind that killed itself in a try."""
    assert scope.node_try is not None
    fault = FiredFault(
        scope.run_id, "bad-day", rule, "extract:inside:kill", number, scope.node, Point.INSIDE,
        scope.node_try.task_key, number, number, "kill",
    )  # fmt: skip
    asyncio.run(FileRecords(path).record(fault))


# What happens ------------------------------------------------------------------------------------


def test_an_exception_is_raised_and_recorded_first(path: Path) -> None:
    """The error is the node's own to all appearances, and says in a note where it comes from."""
    hook = injector(path, RAISE + "}\n")
    with pytest.raises(ConnectionError, match=r"^refused") as error:
        asyncio.run(hook.at(Point.INSIDE, a_try()))
    assert error.value.__notes__ == ["raised by mock scenario bad-day, faults[0]"]
    (fired,) = FileRecords(path).everything()
    assert (fired.rule, fired.rule_key, fired.ordinal, fired.try_number, fired.point, fired.action) == (
        0, "extract:inside:raise", 1, 1, Point.INSIDE, "raise",
    )  # fmt: skip
    assert fired.detail == {"type": "ConnectionError", "message": "refused"}


def test_a_fault_that_cannot_be_recorded_does_not_strike(path: Path) -> None:
    """Otherwise a kill would be unknown to the next process, and repeat for ever."""
    hook = injector(path, RAISE + "}\n")

    async def refuse(fault: FiredFault) -> None:
        raise OSError(fault.action)

    hook._records.record = refuse  # type: ignore[method-assign]
    with pytest.raises(OSError, match=r"^raise"):
        asyncio.run(hook.at(Point.INSIDE, a_try()))


def test_stand_in_data_is_a_copy_each_time(path: Path) -> None:
    """A reducer that changes what it was given must not change the scenario."""
    hook = injector(path, "  - {node: extract, where: inside, return: {tasks: []}}\n")

    async def ask() -> StandIn | None:
        return await hook.at(Point.INSIDE, a_try())

    first = asyncio.run(ask())
    assert first is not None
    first.value["tasks"].append(1)
    assert asyncio.run(ask()) == StandIn({"tasks": []})


def test_a_stand_in_may_be_null(path: Path) -> None:
    """null is a result; None from the hook is none."""
    hook = injector(path, "  - {node: extract, where: inside, return: null}\n")
    assert asyncio.run(hook.at(Point.INSIDE, a_try())) == StandIn(None)


def test_a_delay_waits_and_goes_on_to_the_next_fault(path: Path) -> None:
    """Slow and then broken is one scenario."""
    hook = injector(path, "  - {node: extract, where: inside, delay: 30ms}\n" + RAISE + "}\n")

    async def ask() -> float:
        began = asyncio.get_running_loop().time()
        with pytest.raises(ConnectionError):
            await hook.at(Point.INSIDE, a_try())
        return asyncio.get_running_loop().time() - began

    assert asyncio.run(ask()) >= 0.03
    assert [fault.action for fault in FileRecords(path).everything()] == ["delay", "raise"]


def test_what_comes_after_a_raise_does_not_fire(path: Path) -> None:
    """A record says what happened, not what might have."""
    hook = injector(path, RAISE + "}\n" + RAISE + "}\n")
    assert strike(hook, a_try())
    assert [fault.rule for fault in FileRecords(path).everything()] == [0]


def test_a_hang_ends_by_a_timeout_and_holds_nothing_up(path: Path) -> None:
    """A node that hangs must not stop the faults of the nodes beside it."""
    hook = injector(
        path, "  - {node: extract, where: inside, hang: true}\n  - {node: plan, where: inside, delay: 1ms}\n"
    )

    async def ask() -> None:
        hanging = asyncio.create_task(hook.at(Point.INSIDE, a_try()))
        await asyncio.sleep(0)
        await hook.at(Point.INSIDE, a_try("plan"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await hanging

    asyncio.run(ask())


@pytest.mark.parametrize(("written", "expected"), [("true", None), ("{for: 3s}", timedelta(seconds=3))])
def test_the_database_is_cut_after_the_record(path: Path, written: str, expected: timedelta | None) -> None:
    """Afterwards nothing could be recorded any more."""
    cuts = Cuts()
    hook = injector(
        path, f"  - {{node: extract, where: inside, cut_database: {written}, times: 1}}\n", cuts=cuts
    )
    asyncio.run(hook.at(Point.INSIDE, a_try()))
    asyncio.run(hook.at(Point.INSIDE, a_try(number=2)))
    assert cuts.seen == [expected]
    assert len(FileRecords(path).everything()) == 1


# Where -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", list(Point))
def test_a_fault_strikes_at_its_point_and_its_node_only(path: Path, where: Point) -> None:
    """An exact point is what a crash test needs."""
    hook = injector(path, f"  - {{node: extract, where: {where}, raise: {{type: ConnectionError}}}}\n")
    hits = []
    for point in Point:
        for node in ("extract", "plan"):
            commit = "writes" if point.value.endswith("commit") else None
            scope = replace(a_try(node), commit=commit)
            try:
                asyncio.run(hook.at(point, scope))
            except ConnectionError:
                hits.append((point, node))
    assert hits == [(where, "extract")]


def test_hooks_are_wanted_only_where_a_rule_could_fire(path: Path) -> None:
    """The hook is asked at every point of every node, so a no has to be cheap."""
    hook = injector(path, RAISE + "}\n  - {node: plan, where: after_commit, kill: true}\n")
    assert hook.wants(Point.INSIDE, "extract")
    assert not hook.wants(Point.INSIDE, "plan")
    assert not hook.wants(Point.AFTER_COMMIT, None)
    assert hook.wants(Point.AFTER_COMMIT, "plan")
    # The wrapper flushes its journal where BEFORE is wanted, so that the number of the try is right.
    assert hook.wants(Point.BEFORE, "plan")
    assert not hook.wants(Point.BEFORE, "other")
    assert not injector(path, "  []\n").wants(Point.BEFORE, "extract")


@pytest.mark.parametrize(
    ("written", "hits"),
    [
        ("where: before_commit", ["w1", "c1", "c2", "c-1"]),
        ("where: before_commit, on: writes", ["w1"]),
        ("where: before_commit, on: checkpoint", ["c1", "c2", "c-1"]),
        ("where: before_commit, on: checkpoint, step: -1", ["c-1"]),
        ("where: before_commit, step: 1", ["w1", "c1"]),
    ],
)
def test_commits_are_told_apart(path: Path, written: str, hits: list[str]) -> None:
    """A crash between a task's writes and its step's checkpoint can be said exactly."""
    hook = injector(path, f"  - {{node: '*', {written}, raise: {{type: ConnectionError}}}}\n")
    scopes = {
        "w1": a_commit("writes", 1, "extract"),
        "c1": a_commit("checkpoint", 1),
        "c2": a_commit("checkpoint", 2),
        "c-1": a_commit("checkpoint", -1),
    }
    seen = []
    for name, scope in scopes.items():
        try:
            asyncio.run(hook.at(Point.BEFORE_COMMIT, scope))
        except ConnectionError:
            seen.append(name)
    assert seen == hits


def test_a_commit_of_a_result_knows_its_try(path: Path) -> None:
    """The checkpointer does not know which try a result comes from; the injector has seen it begin."""
    hook = injector(
        path, "  - {node: extract, where: before_commit, raise: {type: ConnectionError}, attempts: [2]}\n"
    )
    results = []
    for number in (1, 2, 3):
        asyncio.run(hook.at(Point.BEFORE, a_try(number=number)))
        try:
            asyncio.run(hook.at(Point.BEFORE_COMMIT, a_commit("writes", 1, "extract")))
            results.append(False)
        except ConnectionError:
            results.append(True)
    assert results == [False, True, False]


def test_another_workflow_is_left_alone(path: Path) -> None:
    """One process may run many workflows under one scenario."""
    hook = injector(path, RAISE + ", workflow: other}\n")
    assert not strike(hook, a_try())
    assert strike(hook, replace(a_try(), workflow="other"))


def test_a_condition_sees_inputs_state_and_run(path: Path) -> None:
    """A fault can be for one user, one round of a loop, one attempt."""
    hook = injector(
        path, RAISE + ", only_if: \"inputs.user == 'ana' and state.tasks == 2 and run.visit == 1\"}\n"
    )
    assert strike(hook, a_try(inputs={"user": "ana"}, state={"tasks": 2}))
    assert not strike(hook, a_try(inputs={"user": "bob"}, state={"tasks": 2}))
    assert not strike(hook, a_try(inputs={"user": "ana"}, state={}))


def test_a_condition_that_cannot_be_evaluated_says_whose_it_is(path: Path) -> None:
    """A fault that stays away in silence would make a test that tests nothing."""
    hook = injector(path, RAISE + ", only_if: inputs.user < 3}\n")
    with pytest.raises(ExpressionError, match=r"mock scenario bad-day, faults\[0\]\.only_if"):
        asyncio.run(hook.at(Point.INSIDE, a_try(inputs={"user": "ana"})))


# How often ---------------------------------------------------------------------------------------


def test_attempts_count_tries_of_the_node(path: Path) -> None:
    """`attempts: [1, 3]` is the first and the third try."""
    hook = injector(path, RAISE + ", attempts: [1, 3]}\n")
    assert [strike(hook, a_try(number=number)) for number in (1, 2, 3, 4)] == [True, False, True, False]


def test_times_count_over_processes(path: Path) -> None:
    """A second injector over the same records is the process after a crash."""
    first, second = (injector(path, RAISE + ", times: 2}\n") for _ in range(2))
    assert [strike(first, a_try()), strike(second, a_try(number=2)), strike(second, a_try(number=3))] == [
        True, True, False,
    ]  # fmt: skip
    assert [fault.ordinal for fault in FileRecords(path).everything()] == [1, 2]


def test_nodes_side_by_side_do_not_share_the_last_time(path: Path) -> None:
    """`times: 1` is one, also when five nodes ask at once."""
    hook = injector(path, "  - {node: '*', where: inside, raise: {type: ConnectionError}, times: 1}\n")
    slow = hook._records.record

    async def record(fault: FiredFault) -> None:
        await asyncio.sleep(0.01)
        await slow(fault)

    hook._records.record = record  # type: ignore[method-assign]

    async def ask() -> list[object]:
        return await asyncio.gather(
            *(hook.at(Point.INSIDE, a_try(f"node{index}")) for index in range(5)), return_exceptions=True
        )

    assert sorted(map(type, asyncio.run(ask())), key=str) == sorted(
        [ConnectionError, *[type(None)] * 4], key=str
    )


def test_runs_are_independent(path: Path) -> None:
    """`times` is per run; another run's faults are not this one's."""
    hook = injector(path, RAISE + ", times: 1}\n")
    assert [strike(hook, a_try(run_id=run)) for run in ("a", "a", "b", "b")] == [True, False, True, False]


def test_another_scenario_at_the_same_place_counts_for_itself(path: Path) -> None:
    """A user switches scenarios between two starts; the ordinals still do not collide."""
    assert strike(injector(path, RAISE + ", times: 1}\n", name="monday"), a_try())
    assert strike(injector(path, RAISE + ", times: 1}\n", name="tuesday"), a_try(number=2))
    assert [(fault.scenario, fault.ordinal) for fault in FileRecords(path).everything()] == [
        ("monday", 1),
        ("tuesday", 2),
    ]


def test_a_try_that_died_uncounted_is_counted(path: Path) -> None:
    """A killed process may not have had its journal committed; its fault was."""
    died(path, a_try(), number=1)
    hook = injector(path, RAISE + ", attempts: [2]}\n")
    # The journal still says that this is the first try, and counts on from there.
    assert [strike(hook, a_try(number=number, attempt=2)) for number in (1, 2, 3)] == [True, False, False]


def test_a_journal_that_lags_counts_on_from_what_was_lost(path: Path) -> None:
    """Two tries went down with their processes; each later one is one more, not the same again."""
    died(path, a_try(), number=2)
    hook = injector(path, RAISE + ", attempts: [3, 5]}\n")
    assert [strike(hook, a_try(number=number, attempt=3)) for number in (1, 2, 3)] == [True, False, True]


def test_a_try_that_died_counted_is_not_counted_twice(path: Path) -> None:
    """With the journal flushed, its number is right already."""
    died(path, a_try(), number=1)
    hook = injector(path, RAISE + ", attempts: [2]}\n")
    assert [strike(hook, a_try(number=number, attempt=2)) for number in (2, 3)] == [True, False]


def test_a_checkpoint_is_tried_once_per_process_that_died_at_it(path: Path) -> None:
    """`attempts: [1]` kills at each checkpoint once, so each start gets one step further."""
    faults = "  - {node: '*', where: after_commit, on: checkpoint, kill: true, attempts: [1]}\n"
    hook = injector(path, faults)
    (rule,) = hook.scenario.rules
    for step in (-1, 0, 1):
        scope = a_commit("checkpoint", step)
        fault = asyncio.run(hook._decide(rule, Point.AFTER_COMMIT, scope))
        assert fault is not None
        assert asyncio.run(injector(path, faults)._decide(rule, Point.AFTER_COMMIT, scope)) is None


# Chance ------------------------------------------------------------------------------------------


def drawn(path: Path, *, seed: int, run_id: str = "run-1", restart_every: int = 1000) -> list[bool]:
    """Which of 200 tries failed, with a new process every so often."""
    results = []
    for index in range(200):
        if index % restart_every == 0:
            hook = injector(path, RAISE + ", probability: 0.3}\n", seed=seed)
        results.append(strike(hook, a_try(run_id=run_id, visit=index // 4 + 1, number=index % 4 + 1)))
    return results


def test_the_same_seed_gives_the_same_faults(tmp_path: Path) -> None:
    """Restarts in between, another run, another database: nothing but the seed decides."""
    first = drawn(tmp_path / "a", seed=7)
    assert 30 < sum(first) < 90
    assert drawn(tmp_path / "b", seed=7, run_id="another", restart_every=7) == first
    assert drawn(tmp_path / "c", seed=8) != first


def test_chance_at_a_commit_changes_with_the_step_and_the_restart(path: Path) -> None:
    """A commit that was drawn once must not be drawn at every start, for ever."""
    faults = "  - {node: '*', where: before_commit, on: checkpoint, exit: 1, probability: 0.5}\n"
    rule = injector(path, faults).scenario.rules[0]

    async def starts(step: int) -> int:
        for count in range(50):
            if (
                await injector(path, faults)._decide(rule, Point.BEFORE_COMMIT, a_commit("checkpoint", step))
                is None
            ):
                return count
        return 50

    counts = [asyncio.run(starts(step)) for step in range(12)]
    assert max(counts) < 50
    assert len(set(counts)) > 1


# At the end --------------------------------------------------------------------------------------


def test_rules_that_never_fired_are_named(path: Path) -> None:
    """A test whose fault did not strike has tested nothing."""
    hook = injector(
        path, RAISE + ", times: 1}\n  - {node: plan, where: inside, kill: true, workflow: planner}\n"
    )
    strike(hook, a_try())
    fired = FileRecords(path).everything()
    assert [rule.key for rule in hook.scenario.unfired_rules(fired)] == ["plan:inside:kill"]
    assert hook.scenario.unfired_rules(fired, workflow="other") == []


def test_the_flaky_network_fails_with_the_shipped_seed_and_recovers() -> None:
    """The demo has to show a retry, and to end well within the planner's three tries."""
    records: dict[str, list[bool]] = {}
    scenario = load_scenario(ROOT / "mocks/scenarios", "flaky_network")

    class InMemory:
        def __init__(self) -> None:
            self.kept: list[FiredFault] = []

        async def fired(self, run_id: str) -> list[FiredFault]:
            return [fault for fault in self.kept if fault.run_id == run_id]

        async def record(self, fault: FiredFault) -> None:
            self.kept.append(fault)

    hook = FaultInjector(scenario, seed=0, records=InMemory(), cut_database=Cuts())
    for node in ("email_collector", "slack_collector", "calendar_collector"):
        records[node] = [strike(hook, a_try(node, number)) for number in (1, 2, 3)]
    assert any(failed for tries in records.values() for failed in tries[:1])
    assert all(False in tries for tries in records.values())
