import numpy as np

from dedup.within.components import Components, components, split_by_component

LINKS = np.array([[7, 3], [1, 2], [9, 7], [2, 1], [3, 9]])


def test_rows_in_a_chain_of_pairs_have_one_number():
    assert components(LINKS) == {1: 1, 2: 1, 3: 3, 7: 3, 9: 3}


def test_the_numbers_do_not_depend_on_the_order_of_pairs():
    assert components(LINKS[::-1]) == components(LINKS[:, ::-1]) == components(LINKS)


def test_a_limit_refuses_what_would_grow_too_large():
    assert components(np.array([[0, 1], [2, 3], [1, 2], [4, 0]]), limit=3) == {0: 0, 1: 0, 2: 2, 3: 2, 4: 0}


def test_pairs_are_split_by_component():
    assert [part.tolist() for part in split_by_component(LINKS)] == [[[1, 2], [2, 1]], [[7, 3], [9, 7], [3, 9]]]
    assert split_by_component(LINKS[:0]) == []


def test_a_row_alone_stands_for_itself():
    assert Components().find(5) == 5
