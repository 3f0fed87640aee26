"""Writes the numbers of the pages from the result files: what stands between `<!-- NAME -->` and `<!-- /NAME -->`.

python benchmarks/tables.py           # write
python benchmarks/tables.py --check   # fail where a table is not what the result files say
"""

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
LEVELS = ("GoToObj", "GoToRedBall", "GoToLocal", "PickupLoc", "PutNextLocal")
TEXT, SPEECH, CAMERA = "camera + instruction", "camera + mic", "camera"
PUBLISHED = {
    "GoToObj": (100.0, 100.0),
    "GoToRedBall": (100.0, 100.0),
    "GoToLocal": (99.8, 100.0),
    "PickupLoc": (99.4, 100.0),
    "PutNextLocal": (99.2, 100.0),
}
"""Success (%) after a million demonstrations: BabyAI 1.0 (Chevalier-Boisvert et al., ICLR 2019) and 1.1 (Hui et al.,
arXiv 2007.12770)."""


def _read(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text())


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _between(row: Mapping[str, Any]) -> str:
    low, high = row["ci95"]
    return f"{100 * low:.1f} – {100 * high:.1f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """Markdown; the first `words` columns are words, the rest numbers."""
    rule = ["---"] * words + ["---:"] * (len(head) - words)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def _setting(row: Mapping[str, Any]) -> str:
    machine = row["hardware"]
    packages = ", ".join(f"{name} {number}" for name, number in row["versions"].items())
    return f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; {row['date']}; {packages}"


def _played(rows: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """A row that a policy played, for what all of them have in common."""
    return next(row for row in rows.values() if "onnxruntime" in row["versions"])


def _spl(row: Mapping[str, Any]) -> str:
    return "–" if row.get("spl") is None else f"{row['spl']:.3f}"


def summary() -> str:
    """The levels in short: success, and first object correct on "go to" levels."""
    rows = _read("babyai")["rows"]

    def cell(name: str) -> str:
        row = rows[name]
        first = row["first_object_correct"]
        return _percent(row["success_rate"]) + ("" if first is None else f" ({_percent(first)})")

    table = _table(
        ("level", "chance", "camera only", "camera + text", "camera + speech", "BabyAI bot"),
        [
            [level, *(cell(f"{level} / {who}") for who in ("chance", CAMERA, TEXT, SPEECH, "BabyAI bot"))]
            for level in LEVELS
        ],
    )
    one = _played(rows)
    return (
        f"{table}\n\nSuccess (first object correct) over {one['episodes']} episodes from seed {one['seed']}; speech by "
        f"{len(_speakers(rows))} voices that were not trained with. {_setting(one)}."
    )


def _speakers(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return str(rows[f"GoToLocal / {SPEECH}"]["speaker"]).split(", ")


def levels() -> str:
    """Every level: success, path length and attention, with chance and the experts."""
    rows = _read("babyai")["rows"]
    lines = []
    for level in LEVELS:
        for who in ("chance", "BabyAI bot", "considerate expert", CAMERA, TEXT, SPEECH, "camera + mic + instruction"):
            if row := rows.get(f"{level} / {who}"):
                lines.append(_line(f"{level} / {who}", row))
    for senses in (TEXT, SPEECH):
        lines.append(_line(f"GoToLocal / {senses}, swapped mission", rows[f"GoToLocal / {senses}, swapped mission"]))
    one = _played(rows)
    head = ("level / who or which senses", *PLAYED_HEAD)
    return (
        f"{_table(head, lines)}\n\n{one['episodes']} episodes a row, Wilson intervals. Speech: "
        f"{', '.join(_speakers(rows))}. {_setting(one)}."
    )


PLAYED_HEAD = ("success", "95 % interval", "SPL", "first object correct", "mean steps")


def _line(name: str, row: Mapping[str, Any]) -> list[str]:
    first = _percent(row["first_object_correct"])
    return [name, _percent(row["success_rate"]), _between(row), _spl(row), first, f"{row['mean_steps']:.1f}"]


def published() -> str:
    """Literature beside ours."""
    rows = _read("babyai")["rows"]
    lines = [
        [level, f"{old:.1f} %", f"{new:.1f} %", _percent(rows[f"{level} / {TEXT}"]["success_rate"]),
         _percent(rows[f"{level} / {SPEECH}"]["success_rate"])]
        for level, (old, new) in PUBLISHED.items()
    ]  # fmt: skip
    total = _demonstrations()
    head = (
        "level",
        "BabyAI 1.0, symbols + text",
        "BabyAI 1.1, symbols + text",
        "ours, pixels + text",
        "ours, pixels + speech",
    )
    return (
        f"{_table(head, lines)}\n\nBabyAI 1.0: Chevalier-Boisvert et al., ICLR 2019; 1.1: Hui et al., arXiv "
        f"2007.12770; a policy for each level, best validation while training. Ours: one policy for all five, "
        f"{total:,} demonstrations, last checkpoint."
    )


def subsets() -> str:
    """Every subset of the senses, on two levels."""
    rows = _read("babyai")["rows"]
    every = (CAMERA, "mic", "instruction", TEXT, SPEECH, "mic + instruction", "camera + mic + instruction")
    lines = []
    for senses in every:
        local, moving = rows[f"GoToLocal / {senses}"], rows[f"PutNextLocal / {senses}"]
        lines.append(
            [
                senses,
                _percent(local["success_rate"]),
                _percent(local["first_object_correct"]),
                _percent(moving["success_rate"]),
            ]
        )
    return _table(("senses", "GoToLocal", "first object correct", "PutNextLocal"), lines)


def voices() -> str:
    """One voice at a time."""
    rows = _read("babyai")["rows"]
    lines = []
    for name, row in rows.items():
        level, _, who = name.partition(" / ")
        if level == "GoToLocal" and who.startswith(f"{SPEECH}, ") and "swapped" not in who:
            voice = who.removeprefix(f"{SPEECH}, ")
            known = "never heard" if voice.startswith("recorded:") else "other voices trained with"
            moving = rows.get(name.replace("GoToLocal", "PutNextLocal"), {}).get("success_rate")
            lines.append(
                [voice.removeprefix("recorded:"), known, _percent(row["success_rate"]),
                 _percent(row["first_object_correct"]), _percent(moving)]
            )  # fmt: skip
    return _table(("voice", "its synthesiser", "GoToLocal", "first object correct", "PutNextLocal"), lines, words=2)


def synthesisers() -> str:
    """The ear on every synthesiser, and without one."""
    report = _read("synthesisers")
    heard = report["heard"]
    names = list(heard["shipped"]["understood"])
    lines = [[who, *(_percent(row["understood"][name]) for name in names)] for who, row in heard.items()]
    utterances, tested = (
        ", ".join(f"{name} {count:,}" for name, count in report[key].items()) for key in ("utterances", "tested")
    )
    return (
        f"{_table(('ear', *names), lines)}\n\nTrained with: {utterances} utterances. Tested with: {tested}, by voices "
        f"that were not trained with. {_setting(report)}."
    )


def _experiment_rows(report: Mapping[str, Any], names: Mapping[str, str], key: str = TEXT) -> list[list[str]]:
    lines = []
    for name, label in names.items():
        if name not in report:
            continue
        run, row = report[name], report[name]["rows"][key]
        steps, first = f"{run['recipe']['training']['steps']:,}", _percent(row["first_object_correct"])
        success = _percent(row["success_rate"])
        lines.append([label, steps, success, _between(row), _spl(row), first, f"{run['hours']:.2f}"])
    return lines


EXPERIMENT_HEAD = ("", "steps", "success", "95 % interval", "SPL", "first object correct", "core hours")


def _experiment_setting(report: Mapping[str, Any], name: str) -> str:
    row = next(iter(report[name]["rows"].values()))
    return f"\n\n{row['episodes']} episodes from seed {row['seed']}. {_setting(report[name])}."


def curve() -> str:
    """Success against demonstrations."""
    report = _read("experiments")
    names = {f"{n}k demonstrations": f"{n},000" for n in (1, 5, 10, 50)}
    head = ("GoToLocal, demonstrations", *EXPERIMENT_HEAD[1:])
    return _table(head, _experiment_rows(report, names)) + _experiment_setting(report, "10k demonstrations")


def ablations() -> str:
    """One thing taken away at a time."""
    report = _read("experiments")
    names = {
        "put next": "PutNextLocal, 20,000 demonstrations, text",
        "put next without pointing": "… without pointing",
    }
    hearing = {
        "novel": "GoToLocal, 10,000 demonstrations, speech",
        "novel without pointing": "… without pointing",
        "novel without alignment": "… without alignment",
    }
    lines = _experiment_rows(report, names) + _experiment_rows(report, hearing, f"{SPEECH}, seen")
    return _table(EXPERIMENT_HEAD, lines) + _experiment_setting(report, "put next")


def left_out() -> str:
    """What an ablation spoke against, or what took its place is better."""
    before = _read("left_out")
    report = before["rows"]
    names = {
        "10k demonstrations": "GoToLocal, 10,000 demonstrations, text",
        "10k demonstrations and practice": "… and practice",
        "put next without practice": "PutNextLocal, 20,000 demonstrations, text",
        "put next": "… and practice",
    }
    lines = _experiment_rows(report, names)
    for which in ("seen", "novel"):
        label = {"novel": f"GoToLocal, 10,000 demonstrations, pointing at the whole, text, {which}"}
        lines += _experiment_rows(report, label, f"{TEXT}, {which}")
    setting = _experiment_setting(report, "novel")
    return f"{_table(EXPERIMENT_HEAD, lines)}{setting} Code as of {before['commit']}."


def seeds() -> str:
    """The headline with three training seeds."""
    shipped, report = _read("babyai")["rows"], _read("seeds")
    runs = {"0, the bundled policy": {senses: shipped[f"GoToLocal / {senses}"] for senses in (TEXT, SPEECH)}}
    runs |= {seed: run["rows"] for seed, run in sorted(report.items())}
    lines = [_line(f"{senses}, seed {seed}", rows[senses]) for senses in (TEXT, SPEECH) for seed, rows in runs.items()]
    return _table(("GoToLocal", *PLAYED_HEAD), lines) + _experiment_setting(report, next(iter(report)))


def novel() -> str:
    """Combinations that were never asked for."""
    report = _read("experiments")
    lines = []
    for name, trained in {"novel": "as it is", "novel without pointing": "without pointing"}.items():
        for senses, told in ((TEXT, "text"), (SPEECH, "speech")):
            for which in ("seen", "novel"):
                lines += _experiment_rows(report, {name: f"{trained}: {told}, {which}"}, f"{senses}, {which}")
    kept = ", ".join(report["novel"]["recipe"]["data"]["novel"])
    setting = _experiment_setting(report, "novel")
    return f"{_table(EXPERIMENT_HEAD, lines)}\n\nNovel: {kept}. 10,000 demonstrations of GoToLocal less those.{setting}"


def paraphrases() -> str:
    """What other words do."""
    report = _read("paraphrases")

    def line(name: str, row: Mapping[str, Any]) -> list[str]:
        first = _percent(row["first_object_correct"])
        return [name, str(row["episodes"]), _percent(row["success_rate"]), first, f"{row['confidence']:.3f}"]

    head = ("kind", "episodes", "success", "first object correct (go to)", "confidence, first decision")
    kinds = _table(head, [line(name, row) for name, row in report["kinds"].items()])
    unknown = [line("4 or more" if n == "4" else n, row) for n, row in report["unknown_words"].items()]
    return f"{kinds}\n\n{_table(('unknown words', *head[1:]), unknown)}\n\n{_setting(report)}."


def _config() -> dict[str, Any]:
    return json.loads((ROOT / "models" / "bundles" / "default" / "config.json").read_text())


def _demonstrations() -> int:
    """How many the policy has seen: those of its last run are among those of the run that it begins with."""
    recipe = tomllib.loads((ROOT / "recipes" / "eyes.toml").read_text())
    return sum(level["episodes"] for level in recipe["data"]["levels"])


def cost() -> str:
    """Steps and hours of the three runs."""
    provenance = _config()["provenance"]
    before = provenance["begun_with"]
    lines = [[name, f"{run['steps']:,}", f"{run['seconds'] / 3600:.2f}"] for name, run in before.items()]
    rest = provenance["hours"] - sum(run["seconds"] for run in before.values()) / 3600
    lines.append(["both together", f"{provenance['steps']:,}", f"{rest:.2f}"])
    lines.append(["in all", "", f"{provenance['hours']:.2f}"])
    machine = provenance["machine"]
    return (
        f"{_table(('run', 'steps', 'hours'), lines)}\n\n{machine['processor']}, {machine['cores']} cores, no GPU; "
        + ", ".join(f"{name} {number}" for name, number in provenance["versions"].items())
        + "."
    )


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


def profiled() -> str:
    """Where the milliseconds of a decision go, and what of this machine's limit each graph attains."""
    report = _read("profile")
    graphs = {graph["stage"]: graph for graph in report["graphs"]}
    lines = ["| stage (ms) | p50 | p99 | n | at least | attained |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for stage, one in report["stages"].items():
        graph = graphs.get(stage)
        limit = f"{graph['floor_ms']:.3f} | {100 * graph['attained']:.0f} %" if graph else " | "
        name = stage.replace("encode.", "encode ")
        lines.append(f"| {name} | {one['p50']:.3f} | {one['p99']:.3f} | {one['n']:,} | {limit} |")
    held, best = report["budget"], report["ceilings"]
    others = [
        f"{one['name']} takes {one['times_ours']['p50']:.1f} times as long"
        for one in report["compare"]
        if one["times_ours"] and one["name"] != "runtime"
    ]
    answer = "held" if held["holds"] else "not held"
    lines += [
        "",
        f"{held['rate_hz']:g} decisions a second are {answer}, with {held['head_room']:.1f} times the time that 99 of "
        f"100 take. *At least*: what {best['gemm_flops_s'] / 1e9:.0f} GFLOP/s and copies of as many bytes allow, "
        f"measured in the same run. In turns, {' and '.join(others)} (median of {report['compare'][0]['turns']}). "
        f"{_setting(report)}.",
    ]
    return "\n".join(lines)


def training() -> str:
    """What the bundled policy cost to make."""
    config = _config()
    provenance, calibration = config["provenance"], config["metrics"]["calibration"]
    errors = ", ".join(f"{error:.3f} ({senses})" for senses, error in calibration["error"].items())
    shown = _demonstrations()
    return (
        f"`default` has {config['parameters']:,} parameters and was trained on {shown:,} demonstrations in "
        f"{provenance['hours']:.2f} hours on a machine with {provenance['machine']['cores']} cores "
        f"({provenance['machine']['processor']}). Expected calibration error on held-out episodes: {errors}. Largest "
        f"difference between trained and exported outputs: {config['parity']['closed_loop_max_error']:.1e} over "
        f"{config['parity']['closed_loop_steps']:,} closed-loop steps."
    )


ENCODERS = {
    "open_clip ViT-B-32-256, picture": "a frame of 480 × 640",
    "open_clip ViT-B-32-256, text": "77 tokens, padded",
    "Whisper tiny": "2 s of sound",
    "MiniLM-L6": "32 tokens",
    "small, picture": "a frame of 56 × 56",
    "small, sound": "2 s of sound",
    "small, text": "32 tokens",
    "small, state": "8 values",
}
"""What each encoder was measured with."""


def _times(ratio: Mapping[str, float]) -> list[str]:
    return [f"{ratio['median']:.1f}", f"{ratio['min']:.1f} – {ratio['max']:.1f}"]


def encoders() -> str:
    """Encoders in ONNX Runtime against eager torch, and Whisper on two seconds against thirty."""
    report = _read("encoders")
    kinds, padded = report["encoders"], report["whisper"]["padded_over_short"]
    lines = [
        [name, shown, f"{kinds[name]['parameters']:,}", str(kinds[name]["n"]),
         *_times(kinds[name]["eager_over_runtime"])]
        for name, shown in ENCODERS.items()
    ]  # fmt: skip
    head = ("encoder", "input", "parameters", "calls", "eager torch takes … times as long", "range")
    labels = {
        "ONNX Runtime": "this encoder, both in ONNX Runtime",
        "eager torch": "this encoder, both in eager torch",
        "the whisper package over eager torch": "the whisper package on 30 s against this encoder on 2 s, eager torch",
        "the whisper package over ONNX Runtime": "the same against this encoder on 2 s, ONNX Runtime",
    }
    rows = [[label, *_times(padded[name])] for name, label in labels.items()]
    return (
        f"{_table(head, lines, words=2)}\n\n"
        f"{_table(('Whisper tiny, 2 s of sound', 'padding to 30 s takes … times as long', 'range'), rows)}\n\n"
        f"Batch 1, one thread, taking turns in one run, {report['whisper']['blocks']} turns each: medians of the "
        f"ratios of turns, and their range. Weights: {report['weights']}. The machine had other work at the same time, "
        f"which is why ratios are printed and no milliseconds. {_setting(report)}."
    )


def token_cache() -> str:
    """Samples a second with and without tokens that are kept."""
    report = _read("token_cache")
    lines = []
    for tokens, row in report["tokens"].items():
        speed = row["samples_per_s"]
        median = {which: sorted(speed[which])[len(speed[which]) // 2] for which in ("with", "without")}
        lines.append(
            [
                tokens,
                f"{speed['without, first epoch']:.1f}",
                f"{speed['with, first epoch']:.1f}",
                f"{median['without']:.1f}",
                f"{median['with']:.0f}",
                *_times(row["times_as_fast"]),
                f"{row['cache_bytes'] / report['pictures'] / 1000:.1f} kB",
            ]
        )
    head = (
        f"tokens of a frozen {report['model']}",
        "first epoch, without",
        "with the cache",
        "later epochs, without",
        "with the cache",
        "times as fast",
        "range",
        "on disk, a picture",
    )
    one = report["tokens"]["pooled"]
    height, width = report["picture"]
    return (
        f"{_table(head, lines)}\n\nSamples a second of training: {report['pictures']} pictures of {height} × {width} "
        f"from a manifest, {one['samples_an_epoch']} samples an epoch, batches of {report['batch']}, one thread. The "
        "first epoch was measured once; with the cache it includes computing it. Of later epochs: medians of "
        f"{one['epochs']} each, taking turns in one run, and of the ratios of turns. Weights: {report['weights']}, in "
        "the architecture of the model. The machine had other work at the same time: go by the ratios. "
        f"{_setting(report)}."
    )


def reach() -> str:
    """A policy from recordings, with every set of inputs."""
    report = _read("reach")
    lines = [
        [inputs.replace(",", " + "), _percent(row["success_rate"]), _between(row), f"{row['mean_steps']:.1f}"]
        for inputs, row in report["rows"].items()
    ]
    lines.append(["*who cannot tell which disc is meant, at best*", _percent(report["chance"]), "", ""])
    wall, cpu = report["seconds"], report["cpu_seconds"]
    took = ", ".join(f"{stage} {wall[stage]:.0f} s ({cpu[stage]:.0f} s)" for stage in ("record", "train", "export"))
    return (
        f"{_table(('inputs', 'success', '95 % interval', 'steps'), lines)}\n\n{report['episodes']} episodes from seed "
        f"{report['seed']}, none of them recorded; learnt from {report['episodes_recorded']} recorded ones. Time (of "
        f"CPU): {took}. Bundle {report['bundle_bytes'] / 1e6:.1f} MB. {_setting(report)}."
    )


def clips() -> str:
    """Labels for clips with every set of inputs, by the exported policy."""
    report = _read("clips")
    seeds = report["seeds"]
    lines = []
    for inputs in next(iter(seeds.values()))["rows"]:
        which, whether = ({*names} & {*inputs.split(" + ")} for names in (("camera", "caption"), ("mic", "gauges")))
        known = "which and whether" if which and whether else "which" if which else "whether"
        rows = [run["rows"][inputs] for run in seeds.values()]
        rates = [_percent(row["accuracy"]) for row in rows]
        lines.append([inputs, known, *rates, _between(rows[0])])
    lines.append(["*the more frequent label*", "nothing", *[_percent(report["majority"])] * len(seeds), ""])
    head = ("inputs", "tell", *(f"right, seed {seed}" for seed in seeds), "95 % interval, seed 0")
    seconds = ", ".join(f"{run['seconds']:.0f} s" for run in seeds.values())
    return (
        f"{_table(head, lines, words=2)}\n\n{report['held_out']:,} held-out clips; trained on {report['clips']:,}, in "
        f"{seconds} on one core of a machine that had other work at the same time. Taught with camera and mic alone, "
        f"seed 0: {_percent(report['taught_with_camera_and_mic_only']['accuracy'])} right. {_setting(report)}."
    )


AGES = {
    "ours": "`sensorimotor`, decisions by `--trigger camera`",
    "mailbox": "a one-slot mailbox by hand",
    "dora, queue_size 1": "dora-rs, `queue_size: 1`",
    "dora, default queue": "dora-rs, its default queue",
    "plain": "a plain `cv2.read` loop",
    "ours, GIL held": "`sensorimotor`, a model that holds the GIL",
    "mailbox, GIL held": "the mailbox, a model that holds the GIL",
}
"""Contenders of frame_age.json, as a table names them."""


def _at(row: Mapping[str, float], digits: int, *which: str) -> list[str]:
    return [f"{row[name]:,.{digits}f}" for name in which]


def _shared(report: Mapping[str, Any]) -> str:
    """On what a live benchmark was run, and what else went on there."""
    priority = f" All contenders ran at the same raised priority (nice {report['nice']})." if report["nice"] else ""
    if report.get("real_time"):
        priority = " All contenders ran at the same real-time priority (SCHED_RR), so that this did not delay them."
    return (
        f"The machine had other work at the same time (load {report['load_before']:.1f} before the run): go by the "
        f"ratios.{priority} {_setting(report)}."
    )


def frame_age() -> str:
    """How old the frame is that an action was decided on."""
    report = _read("frame_age")
    rows = report["rows"]
    lines = [
        [label, *_at(rows[name]["age_ms"], 1, "p50", "p99", "max"), f"{rows[name]['actions_per_s']:.1f}",
         f"{rows[name]['age_ms']['p50'] / rows['ours']['age_ms']['p50']:.2f}"]
        for name, label in AGES.items()
    ]  # fmt: skip
    head = ("age of the frame at the action (ms)", "p50", "p99", "max", "actions a second", "p50, ours = 1")
    height, width = report["camera"]["size"]
    said, off = rows["ours"]["reported_age_ms"], rows["ours"]["pixel_minus_reported_ms"]
    return (
        f"{_table(head, lines)}\n\nA loopback MJPEG camera, {width} × {height} at {report['camera']['rate_hz']:g} "
        f"frames a second, that writes its clock into the pixels; {report['busy_ms']:g} ms of computing in place of a "
        f"model; {report['turns']} turns of {report['seconds']:g} s each, taking turns in one run. The records of "
        f"`sensorimotor` say {said['p50']:.1f} ms at p50; the pixels say {off['p50']:.1f} ms more (p50; p99 "
        f"{off['p99']:.1f}), in which the camera's encoding, the network and the way from the decision to the actuator "
        "are included. "
        f"{_shared(report)}"
    )


def loop_overhead() -> str:
    """From a frame in hand to its action, without a model."""
    report = _read("loop_overhead")
    labels = {
        "bare loop": "a bare loop: nothing but the call",
        "mailbox": "a one-slot mailbox by hand, two threads",
        "ours": "`sensorimotor`, all of it",
        "ours, on one core": "`sensorimotor`, all of it on one core",
        "dora, queue_size 1": "dora-rs, `queue_size: 1`, two processes",
    }
    rates = sorted({float(name.partition(" / ")[2]) for name in report["rows"]})
    lines = []
    for rate in rates:
        for name, label in labels.items():
            row = report["rows"][f"{name} / {rate:g}"]
            lines.append([f"{rate:g}", label, *_at(row["ms"], 3, "p50", "p95", "p99", "max"), f"{row['n']:,}"])
    head = ("frames a second", "frame in hand → action out (ms)", "p50", "p95", "p99", "max", "n")
    height, width = report["frame"]
    return (
        f"{_table(head, lines, words=2)}\n\nFrames of {width} × {height}, made in the process; a model that does "
        f"nothing; {report['turns']} turns of {report['seconds']:g} s each, taking turns in one run, without the first "
        f"second. {_shared(report)}"
    )


def _load(row: Mapping[str, Any]) -> str:
    load = row["load"]
    return f"Load of the machine, other work included: {load['before']:.1f} before, {load['after']:.1f} after."


def streams() -> str:
    """A large policy on live streams: what is added to ONNX Runtime, and ages against what one would write by hand."""
    report = _read("streams")
    decision, ages = report["decision"], report["age_ms"]
    turns = decision["turns"]
    rows = [
        ["a decision over its calls of ONNX Runtime, p50", f"{decision['ratio_p50']:.3f}"],
        ["all decisions over all calls", f"{decision['ratio_of_sums']:.3f}"],
        ["the same in CPU time, p50", f"{decision['cpu_ratio_p50']:.3f}"],
        [
            "CPU time of the whole live process, sensors included, over that of ONNX Runtime",
            f"{decision['process_cpu_over_onnx_runtime_cpu']:.3f}",
        ],
    ]
    compared = list(next(iter(ages.values()))["times_as_old"])

    def times(row: Mapping[str, Any], other: str) -> str:
        ratio = row["times_as_old"][other]
        return f"{ratio['median']:.1f} ({ratio['min']:.1f} – {ratio['max']:.1f})"

    lines = [
        [name, str(row["n"]), *(f"{row[key]:,.0f}" for key in ("p50", "p95", "max")),
         *(times(row, other) for other in compared)]
        for name, row in ages.items()
    ]  # fmt: skip
    beside = (f"times as old as {other.replace(', on every frame', '')}" for other in compared)
    head = ("age of the frame at the action (ms)", "n", "p50", "p95", "max", *beside)
    height, width, rate = report["camera"]
    models = ", ".join(f"{model} ({name})" for name, model in report["models"].items())
    return (
        f"{_table(('time of a decision', 'ratio'), rows)}\n\n{_table(head, lines)}\n\n{models}; weights: "
        f"{report['weights']}. Frames of {height} × {width}, {rate} a second; sound in windows of "
        f"{report['window_s']:g} s every {report['hop_s']:g} s. Decisions in one thread: {len(turns)} times "
        f"{turns[0]['n']}. Ages: {report['rounds']} turns of {report['seconds_a_turn']:g} s each, one after another in "
        "one run; *times as old*: p50 over that of the runtime on every frame in the same round, its median and range. "
        f"{_load(report)} {_setting(report)}."
    )


def soak() -> str:
    """Many decisions with faults, and ten minutes of rhythm."""
    report = _read("soak")
    parts = []
    if row := report.get("faults"):
        memory, turn, cpu, floor = row["rss_mb"], row["p50_ms"], row["p50_cpu_ms"], row["reference"]
        head = (f"{row['decisions']:,} decisions with faults", "first tenth", "last tenth", "last / first")
        lines = [
            [label, f"{one['tenths'][0]:.3f}", f"{one['tenths'][-1]:.3f}", f"{one['last_over_first']:.3f}"]
            for label, one in (
                ("a decision, p50 (ms)", turn),
                ("a decision, p50 (ms of CPU)", cpu),
                ("its two graphs alone, p50 (ms)", floor["p50_ms"]),
                ("its two graphs alone, p50 (ms of CPU)", floor["p50_cpu_ms"]),
            )
        ]
        faults = ", ".join(f"{what} (1 in {every:,})" for what, every in row["faults_every"].items())
        counts, actuator = row["summary"], row["actuator"]
        parts.append(
            f"{_table(head, lines)}\n\nMemory: {memory['first']:.1f} MB at the start, {memory['last']:.1f} MB at the "
            f"end; a line through all of it rises by {memory['slope_per_100k']:.2f} MB in 100,000 decisions, through "
            f"all but the first tenth by {memory['slope_per_100k_after_a_tenth']:.2f} MB. Injected: {faults}. Of it "
            f"came {counts['held']:,} decisions held, {counts['errors']:,} errors of the network, "
            f"{row['encoder_errors']:,} of an encoder, {row['sound_refused']:,} refused chunks of sound and "
            f"{actuator['failed']:,} refused actions; {row['trace']['lines']:,} lines of trace, {row['trace']['lost']} "
            f"lost. {row['seconds']:.0f} s. {_load(row)} {_setting(row)}."
        )
    if row := report.get("rhythm"):
        head = (f"{row['rate_hz']:g} a second for {row['seconds']:g} s", "turns", "missed", "share", "late, p50 (ms)",
                "p99", "max")  # fmt: skip
        lines = []
        for name, label in {"live": "`default` on three streams", "ticker alone": "a ticker alone"}.items():
            one = row[name]
            late = one["late_ms"]
            lines.append(
                [label, f"{one['ticks']:,}", f"{one['missed']:,}", f"{100 * one['missed_share']:.3f} %",
                 f"{late['p50']:.2f}", f"{late['p99']:.1f}", f"{late['max']:.1f}"]
            )  # fmt: skip
        parts.append(
            f"{_table(head, lines)}\n\nTwo processes at the same time. *Late* is from the deadline to the action's "
            f"being handed over, and of the ticker to its waking up. {_load(row)} {_setting(row)}."
        )
    return "\n\n".join(parts)


BATCH_JOBS = {
    "vit": "ViT-B/32, {photos:,} JPEGs of {width} × {height}",
    "default": "`default`, {rows:,} steps of {episodes:,} recorded episodes",
    "decode": "`default`, {rows:,} JPEGs of {width} × {height}",
}
BATCH_CONTENDERS = {
    "sensorimotor batch": "`sensorimotor batch`",
    "torch DataLoader": "a loop in eager torch",
    "OpenCV": "decoding alone, in OpenCV",
}


def batch() -> str:
    """Rows a second of batch inference, beside a loop in torch and the ceiling of decoding."""
    report = _read("batch")
    rates: dict[str, float] = {}
    for key, row in report["jobs"].items():
        rates[key] = len(row["s"]) * row["rows"] / sum(row["s"])
    lines = []
    for job, title in BATCH_JOBS.items():
        for key, row in report["jobs"].items():
            name, who, decoding, computing = key.split(" / ")
            if name != job:
                continue
            rival = f"{job} / {'OpenCV' if job == 'decode' else 'torch DataLoader'} / {decoding} / {computing}"
            ratio = f"{rates[key] / rates[rival]:.2f}" if who == "sensorimotor batch" else ""
            about = title.format(
                photos=report["photos"]["count"], rows=row["rows"], episodes=report["episodes"], **report["photos"]
            )
            agree = "" if row["agree"] is None else f"{row['agree']:.2%}"
            processes, threads = decoding.split()[0], computing.split()[0] if who != "OpenCV" else ""
            lines.append([about, BATCH_CONTENDERS[who], processes, threads, f"{rates[key]:,.0f}", ratio, agree])
    head = ("job", "contender", "processes that decode", "threads that compute", "rows a second",
            "ours to theirs", "same decisions")  # fmt: skip
    return (
        f"{_table(head, lines, words=2)}\n\nThe loop is a `DataLoader` of batches of {report['batch']}, whose workers "
        "decode with OpenCV, and the same network with the same weights; of an episode it encodes all frames at once "
        "and the mission once, and goes through the core step by step. Its clock starts when the network is there; "
        "that of `sensorimotor batch` before the policy is loaded. *Ours to theirs* is to the loop, and of decoding "
        f"to OpenCV alone. {report['turns']} turns each, of ViT-B/32 one. {_shared(report)}"
    )


PAGES = {
    "README.md": (summary, latency, training, reach),
    "docs/babyai.md": (
        levels, published, subsets, seeds, voices, synthesisers, curve, ablations, left_out, novel, paraphrases, cost,
    ),
    "docs/encoders.md": (encoders, token_cache),
    "docs/clips.md": (clips,),
    "docs/profile.md": (profiled,),
    "docs/performance.md": (frame_age, loop_overhead, streams, soak, batch),
}  # fmt: skip


def filled(text: str, tables: Iterable[Any]) -> str:
    """The text with every table made anew."""
    for table in tables:
        name = table.__name__
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not pattern.search(text):
            sys.exit(f"there is no place for the table {name!r}")
        try:
            content = table()
        except (FileNotFoundError, KeyError, StopIteration):
            content = "Not measured yet."
        text = pattern.sub(lambda match, content=content: f"{match[1]}{content}\n{match[2]}", text)
    return text


def main() -> None:
    """Write the tables, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    for page, tables in PAGES.items():
        before = (ROOT / page).read_text()
        after = filled(before, tables)
        if check and before != after:
            sys.exit(f"{page} does not say what the result files say: run python benchmarks/tables.py")
        if not check:
            (ROOT / page).write_text(after)


if __name__ == "__main__":
    main()
