"""Plants the bugs of a plan, one at a time in each copy of the tree, and runs the local tests of the module.

cosmic-ray's own Python runs this: `python plant.py PLAN.json ALL.sqlite SESSION.sqlite`. What was tried before
is in SESSION.sqlite, whose format is cosmic-ray's, and is not tried again.
"""

import json
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue

from attrs import evolve
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_db import WorkDB, use_db


def keep_sample(jobs, everything, session):
    """Adds to a session what it lacks of the sample."""
    missing = jobs - {item.job_id for item in session.work_items}
    if missing:
        session.add_work_items([item for item in everything.work_items if item.job_id in missing])


def tried(item, modules, trees):
    """Returns the result of one mutation in a tree that no other thread uses meanwhile."""
    (mutation,) = item.mutations
    tests = modules[str(mutation.module_path)]
    tree = trees.get()
    try:
        planted = evolve(mutation, module_path=Path(tree) / mutation.module_path)
        return mutate_and_test([planted], shlex.join(["env", "-C", tree, *tests["command"]]), tests["timeout_s"])
    finally:
        trees.put(tree)


def plant(session, plan):
    """Tries what has no result yet, and stores each result when it is there."""
    trees = SimpleQueue()
    for tree in plan["trees"]:
        trees.put(tree)
    pending = [item for item in session.pending_work_items if item.job_id in plan["jobs"]]
    done, count = session.num_results, session.num_work_items
    with ThreadPoolExecutor(len(plan["trees"])) as pool:
        items = {pool.submit(tried, item, plan["modules"], trees): item for item in pending}
        try:
            for number, future in enumerate(as_completed(items), done + 1):
                item, result = items[future], future.result()
                session.set_result(item.job_id, result)
                (mutation,) = item.mutations
                outcome = result.test_outcome.value if result.test_outcome else result.worker_outcome.value
                print(f"{number}/{count} {outcome} {mutation.module_path}:{mutation.start_pos[0]}", flush=True)
        except KeyboardInterrupt:
            print("Stopping when the tests that run now have ended; `make mutants` goes on from here", file=sys.stderr)
            pool.shutdown(cancel_futures=True)
            sys.exit(130)


if __name__ == "__main__":
    with (
        use_db(sys.argv[2], WorkDB.Mode.open) as everything,
        use_db(sys.argv[3]) as session,
    ):
        plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        keep_sample(set(plan["jobs"]), everything, session)
        plant(session, plan)
