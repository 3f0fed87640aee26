"""The card of a bundle: what a person should know before using it, written from the bundle's own configuration."""

from collections.abc import Mapping
from typing import Any

from sensorimotor.models.signature import Signature

_TRAINED_LIMITS = (
    "It knows only the simulation it was trained in. Confidence is calibrated on such data and means little "
    "elsewhere; novelty is not measured."
)
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
        f"{parity['closed_loop_steps']} {'' if prompt else 'closed-loop '}steps, at which every action was the same.",
        "",
        "## Limits",
        "",
        _PROMPTED_LIMITS if prompt else _TRAINED_LIMITS,
        "",
        "Licence of the weights: that of the model." if prompt else "Licence of weights and text: Apache-2.0.",
        "",
    ]
    return "\n".join(lines)


def _trained(config: Mapping[str, Any]) -> list[str]:
    provenance = config["provenance"]
    return [
        f"Recipe `{provenance['recipe']['name']}`, {provenance['steps']} steps, {provenance['hours']:.2f} hours on "
        f"{provenance['machine']['cores']} cores of {provenance['machine']['processor']}; "
        f"{config['parameters']:,} parameters; imitation of demonstrations in simulation.",
        "",
        "## On held-out episodes",
        "",
        "| senses | agreement with the expert | loss (nats) |",
        "| --- | --- | --- |",
        *(
            f"| {senses} | {judged['accuracy']:.1%} | {judged['loss']:.3f} |"
            for senses, judged in config["metrics"]["held_out"].items()
        ),
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


def _calibration(calibration: Mapping[str, Any] | None) -> list[str]:
    if not calibration:
        return []
    errors = ", ".join(f"{error:.3f} ({senses})" for senses, error in calibration["error"].items())
    return [
        f"Expected calibration error, {calibration['decisions']} held-out decisions, 15 bins: {errors}; "
        f"{calibration['error_before']:.3f} before the temperature of {calibration['temperature']:.2f}.",
        "",
    ]
