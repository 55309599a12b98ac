from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.data.dataset import ImageNetDataset, Visit
from ssld.errors import InputError
from ssld.models.zoo import build_network
from ssld.train.evaluate import Evaluation, evaluate


@pytest.fixture
def listed(tmp_path, make_list):
    """101 pictures of four classes: an odd number, and a prime one."""
    make_list(tmp_path, "val", 101)
    return tmp_path / "val.txt"


@pytest.fixture
def dataset(listed):
    return ImageNetDataset(str(listed.parent), str(listed), [{"DecodeImage": {}}, "NormalizeImage", "ToCHWImage"],
                           max_bad_fraction=0.1)


@pytest.fixture
def network():
    paddle.seed(1)
    network = build_network("SmallResNet", 4, width=4)
    network.eval()
    return network


def correct(network, dataset, rows, k: int) -> int:
    """How many of some rows are among the k best answers, one image at a time."""
    count = 0
    for row in rows:
        sample = dataset[Visit(row, 0)]
        logits = network(paddle.to_tensor(sample["image"][None])).numpy()[0]
        count += int(sample["label"]) in np.argsort(-logits, kind="stable")[:k]
    return count


@pytest.mark.parametrize("batch_size", [1, 16, 101, 500])
def test_accuracy_equals_counting_one_image_at_a_time(network, dataset, batch_size):
    found = evaluate(network, dataset, batch_size, topk=(1, 2))
    expected = {f"top{k}": correct(network, dataset, range(101), k) / 101 for k in (1, 2)}
    assert found == Evaluation(expected, 101, 0, 0)
    assert 0 < found.accuracy["top1"] < found.accuracy["top2"] < 1


def test_the_order_of_the_list_does_not_matter(network, dataset, listed):
    expected = evaluate(network, dataset, 8)
    lines = listed.read_text().splitlines(keepends=True)
    listed.write_text("".join(lines[::-1]))
    shuffled = ImageNetDataset(str(listed.parent), str(listed), [{"DecodeImage": {}}, "NormalizeImage", "ToCHWImage"])
    assert evaluate(network, shuffled, 8) == expected


def test_unlabelled_images_do_not_count(network, listed):
    lines = listed.read_text().splitlines()
    listed.write_text("".join(f"{line.split()[0] if i % 3 == 0 else line}\n" for i, line in enumerate(lines)))
    dataset = ImageNetDataset(str(listed.parent), str(listed), [{"DecodeImage": {}}, "NormalizeImage", "ToCHWImage"])
    rows = [i for i in range(101) if i % 3]
    expected = {"top1": correct(network, dataset, rows, 1) / 67}
    assert evaluate(network, dataset, 16, topk=(1,)) == Evaluation(expected, 67, 34, 0)


def test_unreadable_images_do_not_count_nor_do_their_neighbours_twice(network, dataset, listed, capsys):
    bad = (3, 50, 100)
    expected = correct(network, dataset, [i for i in range(101) if i not in bad], 1) / 98
    for row in bad:
        (listed.parent / "val" / f"{row}.jpg").write_bytes(b"")
    assert evaluate(network, dataset, 16, topk=(1,)) == Evaluation({"top1": expected}, 98, 0, 3)
    assert capsys.readouterr().err.count("cannot be read; it is left out") == 3


def test_too_many_unreadable_images_are_an_error(network, dataset, listed):
    for row in range(11):
        (listed.parent / "val" / f"{row}.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="11 of 101 images cannot be read"):
        evaluate(network, dataset, 101)


def test_a_label_beyond_the_networks_classes_is_refused_with_its_line(dataset):
    with pytest.raises(InputError, match=r"val\.txt:4 \(val/3\.jpg\): label 3 is out of range, the network has 3 classes"):
        evaluate(lambda image: paddle.zeros([len(image), 3]), dataset, 16)


def test_a_list_without_labels_has_no_accuracy(network, listed):
    listed.write_text("val/0.jpg\nval/1.jpg -1\n")
    dataset = ImageNetDataset(str(listed.parent), str(listed), [{"DecodeImage": {}}, "NormalizeImage", "ToCHWImage"])
    with pytest.raises(InputError, match="val.txt has no labelled image"):
        evaluate(network, dataset, 16)


def test_answers_that_are_not_numbers_are_wrong(dataset):
    assert evaluate(lambda image: paddle.full([len(image), 4], float("nan")), dataset, 16).accuracy == {"top1": 0, "top5": 0}


def test_no_gradient_is_prepared(network, dataset):
    taken = []

    def watch(image):
        taken.append(network(image).stop_gradient)
        return network(image)

    evaluate(watch, dataset, 101)
    assert taken == [True]


def test_an_evaluation_reads_as_a_sentence():
    assert str(Evaluation({"top1": 0.5, "top5": 1.0}, 98, 2, 1)) == ("top1 50.00 %, top5 100.00 % of 98 images "
                                                                    "(2 unlabelled, 1 unreadable left out)")


@pytest.fixture
def as_two_processes(monkeypatch):
    """as_two_processes(measure): what the main one of two processes measures, which share the list."""
    def run(measure):
        parts = []
        monkeypatch.setattr("ssld.train.evaluate.world_size", lambda: 2)
        for rank in (1, 0):
            monkeypatch.setattr("ssld.train.evaluate.rank", lambda rank=rank: rank)
            gather = parts.append if rank else lambda rows: np.concatenate([rows, *parts])
            monkeypatch.setattr("ssld.train.evaluate.gather_rows", gather)
            try:
                result = measure()
            except TypeError:               # the first one's rows are only kept
                assert rank
        return result
    return run


def test_two_processes_measure_what_one_does(network, dataset, as_two_processes):
    alone = evaluate(network, dataset, 16)
    assert as_two_processes(lambda: evaluate(network, dataset, 16)) == alone


def test_unreadable_images_of_all_processes_count_against_the_limit(network, dataset, listed, as_two_processes):
    for row in (0, 1, 2, 3, 4, 5, 60, 61, 62, 63, 64):                  # 6 and 5 of 101, where 10 are allowed
        (listed.parent / "val" / f"{row}.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="(?s)11 of 101 images cannot be read.*val/0.jpg.*val/60.jpg"):
        as_two_processes(lambda: evaluate(network, dataset, 16))
