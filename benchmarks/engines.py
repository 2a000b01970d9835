"""How much faster a network runs on inference engines than itself: `engines.py -c CONFIG -o ... [--pictures N]`.

Each picture of the Eval section goes through the network and then through every engine that is installed, so that a
machine whose speed drifts treats all alike. Printed are medians over the pictures: milliseconds, and network / engine
picture by picture. Network alone: reading, transforms and postprocess are the same for all.
"""

import argparse
import importlib.util
import itertools
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppdet_db.cli import add_config_arguments, report_errors


@report_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config_arguments(parser)
    parser.add_argument("--pictures", type=int, default=20, metavar="N", help="how many are counted (default: 20)")
    arguments = parser.parse_args(argv)

    import numpy as np

    from ppdet_db.engine import load_plan
    from ppdet_db.engine.build import loader_of
    from ppdet_db.engine.evaluate import predict_with, refuse_bad
    from ppdet_db.engine.inference import ENGINES
    from ppdet_db.engine.predictor import through_engine
    from ppdet_db.engine.weights import load_trained

    plan = load_plan(arguments.config, arguments.opt)
    model = load_trained(plan)
    predictors = {"network": predict_with(model), "fused network": predict_with(model.fuse())}
    predictors |= {engine: through_engine(model, engine) for engine in ENGINES if importlib.util.find_spec(engine)}
    seconds: dict[str, list[float]] = {name: [] for name in predictors}
    apart = dict.fromkeys(predictors, 0.0)
    for number, batch in enumerate(itertools.islice(loader_of(plan, train=False), arguments.pictures + 1)):
        refuse_bad(batch)
        maps = {}
        for name, predict in predictors.items():
            start = time.perf_counter()
            maps[name] = np.asarray(predict(batch["image"])["maps"])
            if number:  # the first is the warm-up
                seconds[name].append(time.perf_counter() - start)
            apart[name] = max(apart[name], float(np.abs(maps[name] - maps["network"]).max()))
    for name, times in seconds.items():
        ratio = statistics.median(own / other for own, other in zip(seconds["network"], times, strict=True))
        print(f"{name:<14} {1000 * statistics.median(times):8.1f} ms  {ratio:5.2f} x  maps differ by {apart[name]:.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
