"""Writes the numbers of the README from the result files: what stands between `<!-- NAME -->` and `<!-- /NAME -->`.

python benchmarks/tables.py           # write
python benchmarks/tables.py --check   # fail where a table is not what the result files say
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
RESULTS = Path(__file__).parent / "results"


def _read(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text())


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _setting(row: dict[str, Any]) -> str:
    machine = row["hardware"]
    packages = ", ".join(f"{name} {number}" for name, number in row["versions"].items())
    return f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; {row['date']}; {packages}"


def babyai() -> str:
    """Success, path length and attention of the bundled policy, with chance and the experts."""
    rows = _read("babyai")["rows"]
    lines = [
        "| level / senses | success | 95 % interval | SPL | first object correct | mean steps |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in rows.items():
        low, high = row["ci95"]
        spl = "–" if row.get("spl") is None else f"{row['spl']:.3f}"
        lines.append(
            f"| {name.replace('espeak:', '')} | {_percent(row['success_rate'])} | {100 * low:.1f} – {100 * high:.1f} | "
            f"{spl} | {_percent(row['first_object_correct'])} | {row['mean_steps']:.1f} |"
        )
    one = next(row for row in rows.values() if "onnxruntime" in row["versions"])
    voices = next(row["speaker"] for name, row in rows.items() if name.endswith("/ camera + speech"))
    lines += [
        "",
        f"{one['episodes']} episodes from seed {one['seed']} a row, arg-max actions, BabyAI's own time-outs, Wilson "
        f"intervals. Speech: {voices.replace('espeak:', '')}, one drawn an episode; none of them was trained on. "
        f"{_setting(one)}.",
    ]
    return "\n".join(lines)


def latency() -> str:
    """A decision and a cold start, against eager torch and the floor."""
    report = _read("latency")
    decision, start = report["decision"], report["cold_start"]
    lines = ["| one decision, one thread (ms) | p50 | p95 | p99 | max |", "| --- | ---: | ---: | ---: | ---: |"]
    names = {
        "runtime": "`Policy.act`, new frame, latched instruction",
        "eager torch": "the same in eager torch",
        "graphs alone": "floor: the two graphs alone",
    }
    for key, label in names.items():
        row = decision["ms"][key]
        lines.append(f"| {label} | {row['p50']:.2f} | {row['p95']:.2f} | {row['p99']:.2f} | {row['max']:.2f} |")
    lines += ["", "| process start to first decision (s) | p50 | max |", "| --- | ---: | ---: |"]
    names = {
        "runtime": "`Policy.load` and `act`",
        "eager torch": "the same through torch",
        "python and numpy alone": "floor: Python and numpy alone",
    }
    for key, label in names.items():
        row = start["s"][key]
        lines.append(f"| {label} | {row['p50']:.2f} | {row['max']:.2f} |")
    lines += [
        "",
        f"Taking turns in one run: eager torch takes {decision['eager_over_runtime']['median']:.1f} times as long for "
        f"a decision (median of {decision['blocks']} turns) and {start['eager_over_runtime']['median']:.1f} times as "
        f"long to start (median of {start['n']} turns). {_setting(report)}.",
    ]
    return "\n".join(lines)


def training() -> str:
    """What the bundled policy cost to make."""
    config = json.loads((ROOT / "models" / "bundles" / "default" / "config.json").read_text())
    provenance, calibration = config["provenance"], config["metrics"]["calibration"]
    errors = ", ".join(f"{error:.3f} ({senses})" for senses, error in calibration["error"].items())
    levels = provenance["recipe"]["data"]["levels"]
    shown = sum(level["episodes"] for level in levels)
    return (
        f"`default` has {config['parameters']:,} parameters and was trained on {shown:,} demonstrations for "
        f"{provenance['steps']:,} steps in {provenance['hours']:.2f} hours on {provenance['machine']['cores']} cores "
        f"of {provenance['machine']['processor']}. Expected calibration error on held-out episodes: {errors}. Largest "
        f"difference between trained and exported outputs: {config['parity']['closed_loop_max_error']:.1e} over "
        f"{config['parity']['closed_loop_steps']:,} closed-loop steps."
    )


TABLES = {"babyai": babyai, "latency": latency, "training": training}


def filled(text: str) -> str:
    """The text with every table made anew."""
    for name, table in TABLES.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not pattern.search(text):
            sys.exit(f"the README has no place for the table {name!r}")
        content = table()
        text = pattern.sub(lambda match, content=content: f"{match[1]}{content}\n{match[2]}", text)
    return text


def main() -> None:
    """Write the tables, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    before = README.read_text()
    after = filled(before)
    if check and before != after:
        sys.exit("README.md does not say what the result files say: run python benchmarks/tables.py")
    if not check:
        README.write_text(after)


if __name__ == "__main__":
    main()
