"""A network as an ONNX model."""

from __future__ import annotations

from pathlib import Path

import torch

from reporting.handout.torch_program import example_images, quiet
from reporting.handout.trained_network import Forward, TrainedNetwork


def export_onnx(network: TrainedNetwork, path: Path) -> tuple[bytes, Forward]:
    import onnx
    import onnxruntime

    images, shapes = example_images(network)
    with quiet():
        program = torch.onnx.export(
            network.model,
            images,
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=["images"],
            output_names=["logits"],
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx gave no program")
    proto = program.model_proto
    for key, value in network.facts.items():
        proto.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(proto)
    content = proto.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return content, lambda batch: torch.from_numpy(session.run(["logits"], {"images": batch.numpy()})[0])
