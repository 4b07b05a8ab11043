from __future__ import annotations

import hashlib

import numpy as np
import pytest

from pipeline.seeds import derive_seed, numpy_generator


def test_a_seed_is_the_start_of_a_hash_of_its_purpose():
    assert derive_seed(7, "mixup", 3) == int(hashlib.sha256(b"7|mixup|3").hexdigest()[:16], 16) // 2


@pytest.mark.parametrize("parts", [(), ("mixup",), ("mixup", 1), ("order", "labeled", 0)])
def test_seeds_are_stable_and_fit_every_generator(parts):
    seed = derive_seed(0, *parts)
    assert seed == derive_seed(0, *parts)
    assert 0 <= seed < 2**63


def test_other_seeds_and_purposes_give_other_streams():
    purposes = [(0,), (1,), (0, "mixup"), (0, "mixup", 1), (0, "mixup", 2), (0, "mixup", 12), (0, "augment", 1)]
    assert len({derive_seed(*purpose) for purpose in purposes}) == len(purposes)


def test_generators_repeat_and_leave_the_global_stream_alone():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    np.testing.assert_array_equal(numpy_generator(1, "a").random(3), numpy_generator(1, "a").random(3))
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
