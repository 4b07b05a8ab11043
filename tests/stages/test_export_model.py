from __future__ import annotations

import pytest

from pipeline.stages.export_model import Compression


@pytest.mark.parametrize(
    ("compression", "suffix"),
    [
        (Compression(), ""),
        (Compression(most_dropped=0.2), ""),
        (Compression(pruned=0.25), "-pruned-0.25"),
        (Compression(groups=2), "-groups-2-0.1"),
        (Compression(groups=2, most_dropped=1.0), "-groups-2-1"),
        (Compression(pruned=0.5, groups=4), "-pruned-0.5-groups-4-0.1"),
    ],
)
def test_every_compression_has_a_folder_of_its_own(compression, suffix):
    assert compression.suffix == suffix
