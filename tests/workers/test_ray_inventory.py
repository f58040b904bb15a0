"""What the nodes of a Ray cluster have, what they are called, and which are refused."""

from __future__ import annotations

import pytest

from records import InputError
from workers import ray_inventory
from workers.ray_inventory import JobNeeds, Node, nodes_in_words, refuse_odd, refuse_small
from workers.ray_node import NodeFacts

NODES = [
    Node(id="1", name="a", cpus=7, gpus=0, memory=1e9),
    Node(id="2", name="b", cpus=2, gpus=2, memory=1e9),
    Node(id="3", name="c", cpus=0, gpus=0.5, memory=1e9),
]


@pytest.mark.parametrize(
    ("needs", "places"),
    [
        (JobNeeds(cpus=1), [7, 2, 0]),
        (JobNeeds(cpus=3), [2, 0, 0]),
        (JobNeeds(gpus=1), [0, 2, 0]),
        (JobNeeds(gpus=0.5), [0, 4, 1]),
        (JobNeeds(gpus=0.3333), [0, 6, 1]),
    ],
)
def test_places_are_whole_jobs(needs: JobNeeds, places: list[int]) -> None:
    assert [needs.places(node) for node in NODES] == places


@pytest.mark.parametrize(
    ("host", "name"),
    [("a", "a-3"), ("b.example.org", "b"), ("a.example.org", "a-3"), ("10.0.0.7", "10.0.0.7"), ("node12", "node12")],
)
def test_nodes_have_short_names_of_their_own(host: str, name: str) -> None:
    assert ray_inventory._new_name(host, {"a", "a-2", "10.0.0.8"}) == name


def test_a_share_of_a_gpu_that_no_node_has_is_refused() -> None:
    with pytest.raises(InputError, match=r"one job needs 1 GPU, and no node has as much .*c: 0 CPUs, 0.5 GPUs"):
        refuse_small("auto", NODES[2:], JobNeeds(gpus=1), 1)
    refuse_small("auto", NODES, JobNeeds(gpus=0.5), 2)


def test_another_torch_on_a_node_is_refused() -> None:
    import torch

    alike = NodeFacts(torch=torch.__version__, hardware="x", bfloat16=True, gpu_memory=())
    other = NodeFacts(torch="1.0", hardware="x", bfloat16=True, gpu_memory=())
    refuse_odd("auto", {"a": alike}, on_gpus=False)
    with pytest.raises(InputError, match=r"node b has torch 1.0, this machine"):
        refuse_odd("auto", {"a": alike, "b": other}, on_gpus=False)


def test_nodes_that_differ_are_named() -> None:
    facts = {
        name: NodeFacts(torch="", hardware=hardware, bfloat16=True, gpu_memory=())
        for name, hardware in (("a", "A100"), ("b", "H100"))
    }
    assert nodes_in_words("cuda", "auto", facts) == (
        "cuda of 2 nodes of cluster auto (A100, H100; they differ, so results depend on which node trains)"
    )
