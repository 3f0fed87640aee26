"""Hugging Face's hub: asked once whether it is there, instead of with every file."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sensorimotor.perception.pretrained import encoder_library

PATIENCE_S = 5.0


@contextmanager
def hub_or_cache() -> Iterator[bool]:
    """Use the hub if it answers, else only what is on this machine; gives whether it answers.

    Without it, a machine that cannot reach the hub waits for 23 s a file, five times in vain (huggingface_hub 1.x,
    measured: 46 s until a text encoder is given up). What the libraries log about that meanwhile is not shown.

    Raises:
        MissingExtraError: `huggingface_hub` is not installed.
    """
    constants = encoder_library("huggingface_hub.constants", "huggingface-hub")
    before, quiet = constants.HF_HUB_OFFLINE, logging.root.manager.disable
    reachable = not before and _answers(constants.ENDPOINT)
    # There is no argument for it that open_clip would pass on; the environment is read once, when it is imported.
    constants.HF_HUB_OFFLINE = not reachable
    logging.disable(logging.CRITICAL)
    try:
        yield reachable
    finally:
        constants.HF_HUB_OFFLINE = before
        logging.disable(quiet)


def _answers(endpoint: str) -> bool:
    """Whether there is anybody, through whatever proxy the hub's own client uses."""
    session = encoder_library("huggingface_hub.utils", "huggingface-hub").get_session()
    try:
        session.head(endpoint, timeout=PATIENCE_S)
    except Exception:  # noqa: BLE001 (requests, httpx or httpx2, each with errors of its own, by version of the hub)
        return False
    return True
