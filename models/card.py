"""The card of a bundle: what a person should know before using it, written from the bundle's own configuration."""

from collections.abc import Mapping, Sequence
from typing import Any

from sensorimotor.models.signature import Signature


def card(signature: Signature, config: Mapping[str, Any]) -> str:
    """Markdown for the `README.md` of a bundle."""
    space = signature.action_space
    parity, provenance, metrics = config["parity"], config["provenance"], config["metrics"]
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
        f"Any input may be missing. Actions: {space.space}"
        + (f" ({', '.join(space.labels)})" if space.labels else "")
        + f", trained for {signature.rate_hz:g} decisions a second.",
        "",
        "## Made by",
        "",
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
            for senses, judged in metrics["held_out"].items()
        ),
        "",
        *_calibration(metrics.get("calibration")),
        "## Parity",
        "",
        f"Trained and exported outputs differ by at most {parity['max_error']:.1e} over {parity['subsets']} subsets of "
        f"inputs and {parity['closed_loop_max_error']:.1e} over {parity['closed_loop_steps']} closed-loop steps, at "
        "which every action was the same.",
        "",
        "## Limits",
        "",
        "It knows only the simulation it was trained in. Confidence is calibrated on such data and means little "
        "elsewhere; novelty is not measured.",
        "",
        *_licences(config.get("weights", [])),
        "",
    ]
    return "\n".join(lines)


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
