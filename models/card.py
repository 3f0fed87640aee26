"""The card of a bundle: what a person should know before using it, written from the bundle's own configuration."""

from collections.abc import Mapping, Sequence
from typing import Any

from sensorimotor.models.signature import Signature

_PROMPTED_LIMITS = (
    "How often it is right was never measured: try it on recordings of your own. Confidence compares the actions with "
    "each other at the temperature of the model, so one of them always wins, even when none fits; novelty is not "
    "measured."
)


def card(signature: Signature, config: Mapping[str, Any]) -> str:
    """Markdown for the `README.md` of a bundle."""
    space = signature.action_space
    parity, metrics = config["parity"], config["metrics"]
    prompt = config["provenance"]["recipe"].get("prompt")
    lines = [
        f"# {config['name']}",
        "",
        config["description"],
        "",
        "## Use",
        "",
        "    from sensorimotor import Policy",
        "",
        '    policy = Policy.load("PATH")',
        f"    decision = policy.act({{{', '.join(f'{name!r}: …' for name in signature.inputs)}}})",
        "",
        "## Inputs and actions",
        "",
        "| input | raw value | critical |",
        "| --- | --- | --- |",
        *(f"| {name} | {m} | {'yes' if m.critical else 'no'} |" for name, m in signature.inputs.items()),
        "",
        ("Any input may be missing. " if len(signature.inputs) > 1 else "")
        + f"Actions: {space.space}"
        + (f" ({', '.join(space.labels)})" if space.labels else "")
        + f", {'made' if prompt else 'trained'} for {signature.rate_hz:g} decisions a second.",
        "",
        "## Made by",
        "",
        *(_prompted(prompt, config) if prompt else _trained(config)),
        "",
        *_calibration(metrics.get("calibration")),
        "## Parity",
        "",
        f"{'Original' if prompt else 'Trained'} and exported outputs differ by at most {parity['max_error']:.1e} over "
        f"{parity['subsets']} subsets of inputs and {parity['closed_loop_max_error']:.1e} over "
        f"{parity['closed_loop_steps']} {_kind(config)}steps, at which every action was the same.",
        *_halved(parity),
        "",
        "## Limits",
        "",
        _PROMPTED_LIMITS if prompt else _limits(config),
        "",
        *_licences(config.get("weights", [])),
        "",
    ]
    return "\n".join(lines)


def _halved(parity: Mapping[str, Any]) -> list[str]:
    """How far encoders in half precision are off, where there are some."""
    if "fp16" not in parity:
        return []
    half = parity["fp16"]
    return [
        f"With encoders in half precision (`fp16`) the differences are {half['max_error']:.1e} and "
        f"{half['closed_loop_max_error']:.1e}, and again every action was the same."
    ]


def _trained(config: Mapping[str, Any]) -> list[str]:
    provenance = config["provenance"]
    return [
        f"Recipe `{provenance['recipe']['name']}`, {provenance['steps']} steps, {provenance['hours']:.2f} hours on "
        f"{provenance['machine']['cores']} cores of {provenance['machine']['processor']}; "
        f"{config['parameters']:,} parameters; imitation of {_shown(provenance)}.",
        "",
        *_judged(config["metrics"]),
    ]


def _prompted(prompt: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    return [
        f"Nothing was trained: {prompt['image']} says which action's words go best with the picture; "
        f"{config['parameters']:,} parameters.",
        "",
        "| action | described as |",
        "| --- | --- |",
        *(f"| {name} | {' / '.join(texts)} |" for name, texts in prompt["actions"].items()),
        "",
        f"Each was put into {', '.join(f'`{template}`' for template in prompt['templates'])}, and the embeddings were "
        f"averaged. Tested on {config['provenance']['evidence']}.",
    ]


def _kind(config: Mapping[str, Any]) -> str:
    """Of the steps that parity was tested on."""
    provenance = config["provenance"]
    return "" if "prompt" in provenance["recipe"] else "recorded " if _recorded(provenance) else "closed-loop "


def _limits(config: Mapping[str, Any]) -> str:
    known = "data" if _recorded(config["provenance"]) else "simulation"
    return (
        f"It knows only the {known} it was trained on. Confidence, where it has one, is calibrated on such data and "
        "means little elsewhere; novelty is not measured."
    )


def _recorded(provenance: Mapping[str, Any]) -> bool:
    return provenance.get("evidence") == "recorded"


def _shown(provenance: Mapping[str, Any]) -> str:
    return "recorded episodes" if _recorded(provenance) else "demonstrations in simulation"


def _judged(metrics: Mapping[str, Any]) -> list[str]:
    """The table of every set of senses on held-out episodes, with the baseline that looks at nothing."""
    rows = dict(metrics["held_out"]) | ({"nothing (baseline)": metrics["baseline"]} if metrics.get("baseline") else {})
    if not rows:
        return []
    plans = any("error" in judged for judged in rows.values())
    what = "mean absolute error" if plans else "agreement with what was shown"
    lines = ["## On held-out episodes", "", f"| senses | {what} | loss |", "| --- | --- | --- |"]
    return [
        *lines,
        *(f"| {senses} | {agreement(judged)} | {judged['loss']:.3f} |" for senses, judged in rows.items()),
        "",
    ]


def agreement(judged: Mapping[str, Any]) -> str:
    """How near to what was shown: a percentage of choices, or the error of each dimension in its unit."""
    if "error" in judged:
        return ", ".join(f"{label} {one['mean']:.3g} {one['unit']}".rstrip() for label, one in judged["error"].items())
    return f"{judged['accuracy']:.1%}"


def _licences(foreign: Sequence[Mapping[str, str]]) -> list[str]:
    if not foreign:
        return ["Licence of weights and text: Apache-2.0."]
    return [
        "## Weights of others",
        "",
        "| input | began with | source | licence | then |",
        "| --- | --- | --- | --- | --- |",
        *(f"| {w['input']} | {w['weights']} | {w['source']} | {w['licence']} | {w['training']} |" for w in foreign),
        "",
        "Their licences hold for these weights, and may hold for what was trained from them. Licence of all other "
        "weights and of the text: Apache-2.0.",
    ]


def _calibration(calibration: Mapping[str, Any] | None) -> list[str]:
    if not calibration:
        return []
    errors = ", ".join(f"{error:.3f} ({senses})" for senses, error in calibration["error"].items())
    return [
        f"Expected calibration error, {calibration['decisions']} held-out decisions, 15 bins: {errors}; "
        f"{calibration['error_before']:.3f} before the temperature of {calibration['temperature']:.2f}.",
        "",
    ]
