"""Rendered people with every label: endless, and the same for the same seed and index."""

from bodyloop.data.synthetic.dataset import SyntheticPeople
from bodyloop.data.synthetic.domains import DOMAINS, Domain, get_domain
from bodyloop.data.synthetic.maps import SurfaceLabeller, SurfaceMaps
from bodyloop.data.synthetic.people import MocapPoses, PoseSource, PriorPoses
from bodyloop.data.synthetic.records import sample_record, synthetic_records
from bodyloop.data.synthetic.sample import Keypoints, SyntheticSample
from bodyloop.data.synthetic.shards import Recipe, read_shard, read_shards, write_shards

__all__ = [
    "DOMAINS",
    "Domain",
    "Keypoints",
    "MocapPoses",
    "PoseSource",
    "PriorPoses",
    "Recipe",
    "SurfaceLabeller",
    "SurfaceMaps",
    "SyntheticPeople",
    "SyntheticSample",
    "get_domain",
    "read_shard",
    "read_shards",
    "sample_record",
    "synthetic_records",
    "write_shards",
]
