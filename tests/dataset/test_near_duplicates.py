import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset import near_duplicates as near
from pipeline.dataset.near_duplicates import distances, join_near, pack_fingerprints
from tests.dataset.fingerprints import ZERO, flipped


def naive(texts, bits, groups):
    """Union by a double loop."""
    found = list(groups)
    for i, one in enumerate(texts):
        for j, other in enumerate(texts[:i]):
            if (int(one, 16) ^ int(other, 16)).bit_count() <= bits:
                found = [found[j] if group == found[i] else group for group in found]
    return found


def partition(groups):
    return {frozenset(np.flatnonzero(np.asarray(groups) == group).tolist()) for group in groups}


def test_no_rows_no_groups():
    assert pack_fingerprints([]).shape == (0, 4)
    assert join_near(pack_fingerprints([]), 10, np.array([], np.int64)).tolist() == []


@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65])
def test_a_text_that_is_no_fingerprint(text):
    with pytest.raises(ValueError, match="Expected a fingerprint of 64 hex digits"):
        pack_fingerprints([ZERO, text])


@given(st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1))
def test_distance_is_the_number_of_differing_bits(one, other):
    packed = pack_fingerprints([f"{one:064x}", f"{other:064x}"])
    assert distances(packed[0], packed[1]) == (one ^ other).bit_count()


@pytest.mark.parametrize(("bits", "groups"), [(0, 3), (1, 2), (2, 1)])
def test_groups_are_transitive(bits, groups):
    texts = [ZERO, flipped(ZERO, 7), flipped(ZERO, 7, 8, 200)]
    assert len(set(join_near(pack_fingerprints(texts), bits, np.arange(3)).tolist())) == groups


fingerprints = st.lists(
    st.builds(lambda bits: flipped(ZERO, *bits), st.frozensets(st.sampled_from([0, 5, 63, 64, 130, 255]))), max_size=12
)


@given(texts=fingerprints, bits=st.integers(0, 4), seed=st.integers(0, 99), block=st.sampled_from([1, 7, 2**21]))
def test_blocks_find_what_a_double_loop_finds(texts, bits, seed, block):
    known = np.random.default_rng(seed).integers(0, 20, len(texts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near, "_PAIRS_A_BLOCK", block)
        joined = join_near(pack_fingerprints(texts), bits, known)
    assert partition(joined) == partition(naive(texts, bits, known.tolist()))


@given(texts=fingerprints, cut=st.integers(0, 12))
def test_comparing_in_two_steps_gives_the_same(texts, cut):
    packed = pack_fingerprints(texts)
    at_once = join_near(packed, 2, np.arange(len(texts)))
    first = join_near(packed[:cut], 2, np.arange(len(texts[:cut])))
    known = np.concatenate([first, np.arange(len(first), len(texts)) + 100])
    assert partition(join_near(packed, 2, known, compared=len(first))) == partition(at_once)


@given(texts=fingerprints, bits=st.integers(0, 4), seed=st.integers(0, 99), cut=st.integers(0, 12))
def test_pieces_find_what_a_double_loop_finds(texts, bits, seed, cut):
    known = np.random.default_rng(seed).integers(0, 20, len(texts))
    compared = min(cut, len(texts))
    first = np.array(naive(texts[:compared], bits, known[:compared].tolist()), np.int64)
    known = np.concatenate([first, known[compared:]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near, "_FEW_ROWS", -1)
        joined = join_near(pack_fingerprints(texts), bits, known, compared)
    assert partition(joined) == partition(naive(texts, bits, known.tolist()))


def test_rows_at_the_greatest_distance_share_a_piece():
    """Each of them differs from one in just as many bits as are allowed, at random places."""
    random = np.random.default_rng(0)
    texts = [f"{int.from_bytes(random.bytes(32)):064x}" for _ in range(1500)]
    texts += [flipped(text, *random.choice(256, 10, replace=False).tolist()) for text in texts]
    joined = join_near(pack_fingerprints(texts), 10, np.arange(3000))
    assert joined[:1500].tolist() == joined[1500:].tolist()
    assert len(set(joined.tolist())) == 1500


def test_thousands_of_frames_of_one_scene_are_one_group():
    frames = [flipped(ZERO, number % 250, (7 * number) % 250) for number in range(5000)]
    assert set(join_near(pack_fingerprints(frames), 10, np.arange(5000)).tolist()) == {0}
