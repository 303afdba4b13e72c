"""Plants the bugs of a plan, one at a time in each copy of the tree, and runs the local tests of the module.

cosmic-ray's own Python runs this: `python plant.py PLAN.json SESSION.sqlite`. The session, whose format is
cosmic-ray's, holds the results; a bug that has one is not tried again.
"""

import json
import shlex
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue

from attrs import evolve
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import MutationSpec, WorkItem


def keep_sample(sample, session):
    """Adds to a session what it lacks of the sample."""
    present = {item.job_id for item in session.work_items}
    missing = {job: change for job, change in sample.items() if job not in present}
    session.add_work_items([WorkItem.single(job, MutationSpec(**change)) for job, change in missing.items()])


def tried(item, modules, trees):
    """Returns the result of one change in a tree that no other thread uses meanwhile."""
    (change,) = item.mutations
    tests = modules[str(change.module_path)]
    tree = trees.get()
    try:
        planted = evolve(change, module_path=Path(tree) / change.module_path)
        return mutate_and_test([planted], shlex.join(["env", "-C", tree, *tests["command"]]), tests["timeout_s"])
    finally:
        trees.put(tree)


def plant(session, plan):
    """Tries what has no result yet, in the order of the sample, and stores each result when it is there."""
    trees = SimpleQueue()
    for tree in plan["trees"]:
        trees.put(tree)
    waiting = {item.job_id: item for item in session.pending_work_items}
    pending = [waiting[job] for job in plan["sample"] if job in waiting]
    count, started = len(plan["sample"]), time.monotonic()
    with ThreadPoolExecutor(len(plan["trees"])) as pool:
        items = {pool.submit(tried, item, plan["modules"], trees): item for item in pending}
        try:
            for done, future in enumerate(as_completed(items), 1):
                item, result = items[future], future.result()
                session.set_result(item.job_id, result)
                left = len(pending) - done
                minutes = (time.monotonic() - started) / done * left / 60
                print(f"{count - left}/{count} {line(item, result)} (some {minutes:.0f} min left)", flush=True)
        except KeyboardInterrupt:
            print("Stopping when the tests that run now have ended; `make mutants` goes on from here", file=sys.stderr)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            pool.shutdown(cancel_futures=True)
            for future in filter(has_result, items):
                session.set_result(items[future].job_id, future.result())
            sys.exit(130)


def has_result(future):
    """Returns whether the tests of a future have run."""
    return future.done() and not future.cancelled()


def line(item, result):
    """Returns the outcome and the place of one change."""
    (change,) = item.mutations
    outcome = result.test_outcome.value if result.test_outcome else result.worker_outcome.value
    return f"{outcome} {change.module_path}:{change.start_pos[0]}"


if __name__ == "__main__":
    with use_db(sys.argv[2]) as session:
        plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        keep_sample(plan["sample"], session)
        plant(session, plan)
