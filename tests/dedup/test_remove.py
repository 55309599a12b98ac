import json
from collections import Counter

import pytest

from dedup import Options, Source, read_matches, remove_copies, shards
from dedup.errors import InputError

OUTPUTS = ("kept.txt", "removed.tsv", "other_matches.tsv", "close.tsv", "errors.tsv", "eval_errors.tsv")


def run(pool, evaluation, out, **options):
    options = {"max_error_fraction": 1.0, **options}
    return remove_copies(pool / "list.txt", evaluation / "list.txt", out, **options)


def outputs(folder):
    """Contents of all files a run writes, without the duration."""
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["duration"]
    return {**{name: (folder / name).read_bytes() for name in OUTPUTS}, "manifest": manifest}


@pytest.fixture
def done(pool, evaluation, tmp_path):
    return run(pool, evaluation, tmp_path / "out")


def test_copies_are_removed_and_other_lines_kept_as_they_were(done, tmp_path):
    assert (tmp_path / "out" / "kept.txt").read_text().splitlines() == [
        "other10.jpg 4", "other11.jpg", "other12.jpg", "other13.jpg 7", "other14.jpg", "other15.jpg"]
    assert [(m.query, m.reference, m.reason) for m in read_matches(done.removed_file)] == [
        ("same.png", "0.png", "sha256"), ("jpeg.jpg", "0.png", "hash"), ("crop.jpg", "1.png", "sift"),
        ("mirror.jpg", "1.png", "hash")]


def test_every_line_is_accounted_for(done):
    assert (done.images, done.kept, done.removed, done.errors) == (12, 6, 4, 2)
    pool = done.manifest["pool"]
    assert done.kept + done.removed + done.errors + pool["repeated"] == pool["lines"] == 13
    assert done.manifest["counts"]["removed_by_reason"] == {"sha256": 1, "hash": 2, "sift": 1, "feature": 0}
    assert done.manifest["candidates_from"] == ["sha256", "hash", "sift"]
    assert done.manifest["parameters"]["min_inliers"] == 5


def test_unreadable_files_are_listed_with_their_reason(done, tmp_path):
    lines = [line.split("\t") for line in (tmp_path / "out" / "errors.tsv").read_text().splitlines()]
    assert lines[0] == ["path", "stage", "class", "message"]
    assert [line[:2] for line in lines[1:]] == [["broken.jpg", "decode"], ["missing.jpg", "decode"]]
    assert lines[2][2:] == ["FileNotFoundError", "No such file or directory"]


@pytest.mark.parametrize("options", [{"shard_size": 1}, {"shard_size": 5}])
def test_results_do_not_depend_on_the_shard_size(done, pool, evaluation, tmp_path, options):
    run(pool, evaluation, tmp_path / "again", **options)
    assert outputs(tmp_path / "again") == outputs(tmp_path / "out")


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_processes(done, pool, evaluation, tmp_path):
    run(pool, evaluation, tmp_path / "again", workers=2, shard_size=3)
    assert outputs(tmp_path / "again") == outputs(tmp_path / "out")


def test_an_interrupted_run_goes_on_where_it_stopped(done, pool, evaluation, tmp_path, monkeypatch):
    def killed(progress):
        if progress.done >= 6:
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        run(pool, evaluation, tmp_path / "again", shard_size=3, progress=killed)
    assert not (tmp_path / "again" / "kept.txt").exists()
    done_again, run_shard = [], shards.run_shard
    monkeypatch.setattr(shards, "run_shard",
                        lambda plan, shard, embed: done_again.append(shard) or run_shard(plan, shard))
    run(pool, evaluation, tmp_path / "again", shard_size=3)
    assert done_again == [2, 3]
    assert outputs(tmp_path / "again") == outputs(tmp_path / "out")


def test_other_options_need_another_folder(done, pool, evaluation, tmp_path):
    with pytest.raises(InputError, match="is the plan of another run: index .* there, .* now"):
        run(pool, evaluation, tmp_path / "out", options=Options(min_inliers=7))


def test_too_many_unreadable_pictures_stop_the_run_and_the_results_serve_again(pool, evaluation, tmp_path):
    with pytest.raises(InputError, match=r"2 of 12 images cannot be read.*(broken|missing).jpg"):
        run(pool, evaluation, tmp_path / "out", max_error_fraction=0.05)
    assert not (tmp_path / "out" / "kept.txt").exists()
    assert run(pool, evaluation, tmp_path / "out", max_error_fraction=0.2).kept == 6


def test_two_bad_files_in_one_small_shard_of_a_good_pool_do_not_stop_the_run(pool, evaluation, tmp_path):
    assert run(pool, evaluation, tmp_path / "out", max_error_fraction=0.2, shard_size=2).errors == 2


def test_a_pool_or_an_evaluation_list_without_any_picture_is_refused(pool, evaluation, tmp_path):
    (tmp_path / "nothing.txt").write_text("broken.jpg\nmissing.jpg\n")
    with pytest.raises(InputError, match="nothing.txt: none of its 2 images can be read"):
        remove_copies(tmp_path / "nothing.txt", evaluation / "list.txt", tmp_path / "a", pool_root=pool,
                      max_error_fraction=1.0)
    with pytest.raises(InputError, match="none of the 2 evaluation images can be read"):
        remove_copies(pool / "list.txt", tmp_path / "nothing.txt", tmp_path / "b", eval_root=pool)


def test_unreadable_evaluation_pictures_count_against_the_limit(pool, evaluation, tmp_path):
    (evaluation / "list.txt").write_text("0.png\ngone.png\n1.png\n")
    with pytest.raises(InputError, match="1 of 3 evaluation images cannot be read.*gone.png"):
        run(pool, evaluation, tmp_path / "out", max_error_fraction=0.05)
    removal = run(pool, evaluation, tmp_path / "out")
    assert removal.manifest["evaluation"]["errors"] == 1
    assert (tmp_path / "out" / "eval_errors.tsv").read_text().splitlines()[1].startswith("gone.png\treference\t")


def test_progress_ends_with_the_whole_pool(pool, evaluation, tmp_path):
    seen = []
    run(pool, evaluation, tmp_path / "out", shard_size=5, progress=seen.append)
    assert [(p.done, p.total) for p in seen] == [(5, 12), (10, 12), (12, 12)]
    assert seen[-1].seconds_left == 0 and seen[0].seconds_left > 0


def test_folders_and_paths_in_memory_serve_as_lists(pool, evaluation, tmp_path):
    from_folders = remove_copies(pool, evaluation, tmp_path / "a", max_error_fraction=0.5)
    assert (from_folders.images, from_folders.errors, from_folders.removed) == (11, 1, 4)
    names = ["other10.jpg", "crop.jpg"]
    in_memory = remove_copies(Source.of(names, pool), Source.of(["1.png"], evaluation), tmp_path / "b")
    assert in_memory.kept_file.read_text() == "other10.jpg\n"


def test_a_picture_of_both_lists_is_removed_by_its_bytes(evaluation, tmp_path):
    removal = remove_copies(evaluation / "list.txt", evaluation / "list.txt", tmp_path / "out")
    assert removal.kept == 0
    assert Counter(m.reason for m in read_matches(removal.removed_file)) == {"sha256": 3}


@pytest.mark.parametrize("options", [{"workers": 0}, {"shard_size": 0}, {"max_error_fraction": 2}])
def test_impossible_arguments_are_refused(pool, evaluation, tmp_path, options):
    with pytest.raises(InputError):
        run(pool, evaluation, tmp_path / "out", **options)
