"""The weights of a network in the format of safetensors."""

from __future__ import annotations

from pathlib import Path

from model_generator import build_model
from reporting.handout.trained_network import Forward, TrainedNetwork


def export_safetensors(network: TrainedNetwork, path: Path) -> tuple[bytes, Forward]:
    from safetensors.torch import load, save

    state = {name: value.contiguous() for name, value in network.model.state_dict().items()}
    content = save(state, {"format": "pt", **network.facts})
    model = build_model(network.architecture)
    model.load_state_dict(load(content))
    return content, model.eval()
