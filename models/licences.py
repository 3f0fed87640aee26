"""What a policy owes to others: whose weights are in it, and what their licences restrict."""

import warnings

from sensorimotor.errors import LicenceWarning
from sensorimotor.models.network import NetworkSpec
from sensorimotor.models.prompted import PromptedSpec
from sensorimotor.perception.origin import restricted
from sensorimotor.perception.pretrained import Origin

NOT_STATED = "not stated"


def foreign_weights(spec: NetworkSpec | PromptedSpec) -> list[dict[str, str]]:
    """The weights that pretrained encoders began with: of which input, called what, from where, under which licence.

    `training` says what became of them: `frozen`, they are in the policy as they were; else they were trained on.
    """
    found = []
    for name, encoder in spec.encoders.items():
        origin = encoder.origin or Origin(weights=encoder.model)
        stated = {"source": origin.source or NOT_STATED, "licence": origin.licence or NOT_STATED}
        found.append({"input": name, "weights": origin.weights, **stated, "training": encoder.training})
    return found


def restrictions(spec: NetworkSpec | PromptedSpec) -> list[str]:
    """A sentence for every encoder whose weights are known to be for research only, or not for commercial use."""
    return [
        f"input {weights['input']!r}: the weights {weights['weights']} are licensed {weights['licence']}, which allows "
        "research only or no commercial use, and may hold for whatever is trained from them: read it before you use "
        f"the policy or pass it on ({weights['source']})"
        for weights in foreign_weights(spec)
        if restricted(weights["licence"])
    ]


def warn_of_restrictions(spec: NetworkSpec | PromptedSpec) -> None:
    """Warn, when a policy is trained and when it is exported.

    Warns:
        LicenceWarning: For every encoder with restricted weights.
    """
    for sentence in restrictions(spec):
        warnings.warn(sentence, LicenceWarning, stacklevel=2)
