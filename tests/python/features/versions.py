"""Versions and work-item filters: who gets what, who waits, and what the SDK's workers do with a version that is not theirs.

The SDK's strategies are the worker's own: STRICT and CURRENT_OR_OLDER compare the orchestration's version with the worker's, and
on a mismatch either fail the orchestration or give it back, each time that it comes. With filters from its registry a STRICT
worker asks for its own version alone, so that it never comes to that.
"""

from durabletask.worker import (
    ActivityWorkItemFilter,
    OrchestrationWorkItemFilter,
    VersionFailureStrategy,
    VersioningOptions,
    VersionMatchStrategy,
    WorkItemFilters,
)
from hub import Feature, expect, expect_in, expect_status

feature = Feature()

NONE, STRICT, OLDER = VersionMatchStrategy.NONE, VersionMatchStrategy.STRICT, VersionMatchStrategy.CURRENT_OR_OLDER
FAIL, REJECT = VersionFailureStrategy.FAIL, VersionFailureStrategy.REJECT


def named(function, name):
    function.__name__ = name
    return function


def tells(name, who):
    """An orchestrator that tells which worker ran it, and what its version is."""

    def orchestrator(ctx, _):
        return [who, ctx.version]

    return named(orchestrator, name)


def versioning(version, match, failure=REJECT, default=None):
    return VersioningOptions(version, default, match, failure)


def only(*orchestrators, activities=()):
    """Filters by name, so that every version comes."""
    return WorkItemFilters(
        orchestrations=[OrchestrationWorkItemFilter(name, versions) for name, *versions in orchestrators],
        activities=[ActivityWorkItemFilter(name, versions) for name, *versions in activities],
    )


def waits(hub, instance):
    """That nobody runs an instance. Something else that is started later has come and gone meanwhile."""
    for _ in range(2):
        hub.run(bystander)
    expect_status(hub.state(instance), "PENDING")


@feature.orchestrator
def bystander(ctx, _):
    return "done"


@feature.orchestrator
def calls_child(ctx, input):
    name, version = input
    return (yield ctx.call_sub_orchestrator(name, version=version))


@feature.scenario("a worker without a strategy runs every version, and the orchestrator is told which it is")
def _(hub):
    hub.work([tells("any_version", "w")], versioning=versioning("1.0", NONE))
    for version in (None, "0.1", "1.0", "7.0-beta+x"):
        expect(hub.run("any_version", version=version), ["w", version])


@feature.scenario("a strict worker that fails mismatches runs its version and fails others")
def _(hub):
    hub.work([tells("strict_fails", "w")], versioning=versioning("1.0", STRICT, FAIL), filters=only(["strict_fails"]))
    expect(hub.run("strict_fails", version="1.0"), ["w", "1.0"])
    for version in ("1.1", "0.9", None):
        failure = hub.failure("strict_fails", version=version)
        expect(failure.error_type, "VersionMismatch")
        expect_in("worker version '1.0'", failure.message)


@feature.scenario("a worker for its version and older ones that fails mismatches fails newer ones only")
def _(hub):
    hub.work([tells("older_fails", "w")], versioning=versioning("2.0", OLDER, FAIL), filters=only(["older_fails"]))
    for version in ("2.0", "1.9.9", None):
        expect(hub.run("older_fails", version=version), ["w", version])
    # 2.10 is newer than 2.9, and 10 than 9: versions are not compared as text.
    for version in ("2.0.1", "2.10", "10.0"):
        expect(hub.failure("older_fails", version=version).error_type, "VersionMismatch")


@feature.scenario("what a strict worker gives back is run by a worker of the right version, also one that comes later")
def _(hub):
    own = only(["strict_rejects"])
    hub.work([tells("strict_rejects", "first")], versioning=versioning("1.0", STRICT), filters=own)
    later = hub.start("strict_rejects", version="2.0")
    expect(hub.run("strict_rejects", version="1.0"), ["first", "1.0"])
    waits(hub, later)
    hub.work([tells("strict_rejects", "second")], versioning=versioning("2.0", STRICT), filters=own)
    expect(hub.output(later), ["second", "2.0"])
    # With both there, each instance ends up with its own, whichever gets it first.
    instances = {hub.start("strict_rejects", version=v): w for v, w in [("1.0", "first"), ("2.0", "second")] * 3}
    for instance, who in instances.items():
        expect(hub.output(instance)[0], who)


@feature.scenario("what a worker for older versions gives back waits for a newer worker")
def _(hub):
    own = only(["older_rejects"])
    hub.work([tells("older_rejects", "old")], versioning=versioning("1.5", OLDER), filters=own)
    expect(hub.run("older_rejects", version="1.4"), ["old", "1.4"])
    newer = hub.start("older_rejects", version="1.6")
    waits(hub, newer)
    hub.work([tells("older_rejects", "new")], versioning=versioning("1.6", OLDER), filters=own)
    expect(hub.output(newer), ["new", "1.6"])


@feature.scenario("an instance that workers give back can be terminated")
def _(hub):
    hub.work([tells("always_rejected", "w")], versioning=versioning("1.0", STRICT), filters=only(["always_rejected"]))
    instance = hub.start("always_rejected", version="2.0")
    waits(hub, instance)
    hub.client.terminate_orchestration(instance, output="nobody wants it")
    expect_status(hub.ended(instance), "TERMINATED")


@feature.scenario("filters that a strict worker makes of its registry bring it its own version alone, with its activities")
def _(hub):
    def tells_activity(who):
        return named(lambda ctx, _: who, "which_activity")

    def calls_activity(who):
        def orchestrator(ctx, _):
            return [who, ctx.version, (yield ctx.call_activity("which_activity"))]

        return named(orchestrator, "by_version")

    # With FAIL, so that an item which comes to the wrong worker shows.
    for version in ("1.0", "2.0"):
        hub.work([calls_activity(version)], [tells_activity(version)], versioning=versioning(version, STRICT, FAIL))
    for version in ("1.0", "2.0", "1.0", "2.0"):
        expect(hub.run("by_version", version=version), [version] * 3)
    unversioned, other = hub.start("by_version"), hub.start("by_version", version="3.0")
    waits(hub, unversioned)
    waits(hub, other)
    hub.work([calls_activity("3.0")], [tells_activity("3.0")], versioning=versioning("3.0", STRICT, FAIL))
    expect(hub.output(other), ["3.0"] * 3)


@feature.scenario("children get the version of the call, else the worker's default, else none")
def _(hub):
    def plain(ctx, input):
        return (yield ctx.call_sub_orchestrator("version_of_child", version=input))

    def with_default(ctx, input):
        return (yield ctx.call_sub_orchestrator("version_of_child", version=input))

    hub.work([tells("version_of_child", "w")])
    hub.work([named(plain, "parent_without_default")])
    hub.work([named(with_default, "parent_with_default")], versioning=versioning(None, NONE, default="3.3"))
    expect(hub.run("parent_without_default"), ["w", None])
    expect(hub.run("parent_without_default", "1.2"), ["w", "1.2"])
    expect(hub.run("parent_with_default"), ["w", "3.3"])
    expect(hub.run("parent_with_default", "1.2"), ["w", "1.2"])


@feature.scenario("a version is kept in the history and compared as it was given")
def _(hub):
    hub.work([tells("odd_versions", "w")], filters=only(["odd_versions", "01.0", "ünï", "1.0"]))
    for version in ("01.0", "ünï"):
        instance = hub.start("odd_versions", version=version)
        expect(hub.output(instance), ["w", version])
        expect(hub.history(instance)[1].version, version)
    waiting = hub.start("odd_versions", version="1")
    waits(hub, waiting)


@feature.scenario("an item that no filter lets through waits, stands in nobody's way, and runs when a worker for it connects")
def _(hub):
    waiting = [hub.start("comes_later", number) for number in range(5)]
    for instance in waiting:
        waits(hub, instance)
    hub.work([tells("comes_later", "w")])
    for instance in waiting:
        expect(hub.output(instance), ["w", None])


@feature.scenario("a filter for versions lets through those alone, and the empty version is none")
def _(hub):
    hub.work([tells("by_filter", "w")], filters=only(["by_filter", "1.0", "1.1"]))
    expect(hub.run("by_filter", version="1.1"), ["w", "1.1"])
    other, unversioned = hub.start("by_filter", version="1.2"), hub.start("by_filter")
    waits(hub, other)
    waits(hub, unversioned)
    hub.work([tells("by_filter", "unversioned")], filters=only(["by_filter", ""]))
    expect(hub.output(unversioned), ["unversioned", None])
    waits(hub, other)


@feature.scenario("an activity that no filter lets through waits, and runs when a worker for it connects")
def _(hub):
    def calls(ctx, _):
        return (yield ctx.call_activity("filtered_activity", input=1))

    wrong = named(lambda ctx, n: "wrong", "filtered_activity")
    hub.work([named(calls, "calls_filtered")], [wrong], filters=only(["calls_filtered"]))
    instance = hub.start("calls_filtered")
    hub.until(instance, "RUNNING")
    hub.run(bystander)
    hub.work([], [named(lambda ctx, n: n + 1, "filtered_activity")], filters=only(activities=[["filtered_activity"]]))
    expect(hub.output(instance), 2)


@feature.scenario("continue-as-new moves an instance to a worker of another version")
def _(hub):
    def moves(who, target):
        def orchestrator(ctx, trail):
            trail = [*(trail or []), [who, ctx.version]]
            if target:
                yield ctx.create_timer(ctx.current_utc_datetime)
                ctx.continue_as_new(trail, new_version=target)
                return None
            return trail

        return named(orchestrator, "moves_on")

    hub.work([moves("first", "2.0")], versioning=versioning("1.0", STRICT, FAIL))
    instance = hub.start("moves_on", version="1.0")
    hub.work([moves("second", None)], versioning=versioning("2.0", STRICT, FAIL))
    expect(hub.output(instance), [["first", "1.0"], ["second", "2.0"]])


@feature.scenario("an orchestrator in WebAssembly is called by its version, and another version of it waits")
def _(hub):
    for version in ("1.0.0", None):
        # Who asks for none gets the one that the host runs, and keeps it.
        expect(hub.run(calls_child, ["started_with", version])["version"], "1.0.0")
        expect(hub.run("started_with", version=version)["version"], "1.0.0")
    instance = hub.start("started_with", version="99.0.0")
    waits(hub, instance)
    hub.client.terminate_orchestration(instance)
    expect_status(hub.ended(instance), "TERMINATED")


@feature.scenario("a Python worker takes over a version of a WebAssembly orchestrator's name")
def _(hub):
    hub.work([tells("observe", "python")], filters=only(["observe", "99.0.0"]))
    expect(hub.run("observe", version="99.0.0"), ["python", "99.0.0"])
    expect(len(hub.run("observe")), 2)




@feature.scenario("an orchestrator in WebAssembly calls a version of a Python child and of a Python activity")
def _(hub):
    for version in ("1.0", "2.0"):
        hub.work([tells("chosen_child", version)], versioning=versioning(version, STRICT, FAIL))
        activity = named(lambda _, __, version=version: version, "chosen_activity")
        hub.work([], [activity], filters=only(activities=[["chosen_activity", version]]))
    for version in ("1.0", "2.0"):
        child = {"name": "chosen_child", "child": True, "version": version}
        expect(hub.run("foreign_call", child), [version, version])
        expect(hub.run("foreign_call", {"name": "chosen_activity", "version": version}), version)
    waiting = hub.start("foreign_call", {"name": "chosen_child", "child": True, "version": "3.0"})
    hub.says(waiting, "calling")
    hub.run(bystander)
    hub.client.terminate_orchestration(waiting, recursive=True)
    expect_status(hub.ended(waiting), "TERMINATED")
