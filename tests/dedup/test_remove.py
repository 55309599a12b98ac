import json
from collections import Counter

import pytest

from dedup import GroupOptions, Options, Overrides, Source, read_matches, remove_copies, shards
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
    reasons = {"sha256": 1, "hash": 2, "sift": 1, "feature": 0, "pool-duplicate": 0, "listed": 0, "override": 0}
    assert done.manifest["counts"]["removed_by_reason"] == reasons
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


def lines(out, name="kept.txt"):
    return (out / name).read_text().splitlines()


def reasons(removal):
    return {m.query: (m.reference, m.reason) for m in read_matches(removal.removed_file)}


def test_pictures_in_use_already_are_removed_as_listed(pool, evaluation, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "z.jpg").write_bytes((pool / "other13.jpg").read_bytes())
    (tmp_path / "used" / "a.jpg").write_bytes((pool / "other13.jpg").read_bytes())
    (tmp_path / "used" / "copy.jpg").write_bytes((pool / "same.png").read_bytes())
    removal = run(pool, evaluation, tmp_path / "out", known=tmp_path / "used", shard_size=5)
    assert reasons(removal)["other13.jpg"] == ("a.jpg", "listed")
    assert reasons(removal)["same.png"] == ("0.png", "sha256")          # a copy of an evaluation picture first of all
    assert removal.manifest["counts"]["removed_by_reason"]["listed"] == 1
    assert "other13.jpg 7" not in lines(tmp_path / "out")


def test_a_persons_decisions_come_first_and_compare_nothing_again(done, pool, evaluation, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "run_shard", lambda *_, **__: pytest.fail("a shard is done again"))
    decided = Overrides(keep=frozenset({"crop.jpg"}), remove=frozenset({"other12.jpg", "same.png"}))
    removal = run(pool, evaluation, tmp_path / "out", overrides=decided)
    assert "crop.jpg 2" in lines(tmp_path / "out") and "other12.jpg" not in lines(tmp_path / "out")
    found = reasons(removal)
    assert found["other12.jpg"] == ("", "override") and found["same.png"] == ("0.png", "sha256") and "crop.jpg" not in found
    assert removal.kept + removal.removed + removal.errors == 12
    assert removal.manifest["overrides"] == {"keep": ["crop.jpg"], "remove": ["other12.jpg", "same.png"]}
    run(pool, evaluation, tmp_path / "out")
    assert "crop.jpg" in reasons(done)          # and taken back when they are left out


def test_decisions_about_paths_that_are_not_in_the_pool_are_refused(done, pool, evaluation, tmp_path):
    before = outputs(tmp_path / "out")
    with pytest.raises(InputError, match="1 path.* not in .*'nowhere.jpg'"):
        run(pool, evaluation, tmp_path / "out", overrides=Overrides(frozenset({"nowhere.jpg"}), frozenset()))
    assert outputs(tmp_path / "out") == before


def test_a_dry_run_reports_everything_and_writes_no_list(done, pool, evaluation, tmp_path):
    removal = run(pool, evaluation, tmp_path / "dry", dry_run=True)
    assert reasons(removal) == reasons(done) and not (tmp_path / "dry" / "kept.txt").exists()
    run(pool, evaluation, tmp_path / "dry")
    assert outputs(tmp_path / "dry") == outputs(tmp_path / "out")


def test_duplicates_inside_the_pool_leave_the_largest_picture(pool, evaluation, tmp_path, photo, save):
    large = photo(10, 480, 640)
    save(pool / "large.jpg", large)
    save(pool / "mirrored_crop.jpg", large[40:440, 600:60:-1])
    with open(pool / "list.txt", "a") as listed:
        listed.write("large.jpg\nmirrored_crop.jpg 9\n")
    removal = run(pool, evaluation, tmp_path / "out", within_pool=GroupOptions())
    found = reasons(removal)
    assert found["mirrored_crop.jpg"] == ("large.jpg", "pool-duplicate") and "large.jpg" not in found
    assert removal.kept + removal.removed + removal.errors == removal.images
    assert removal.manifest["within_pool"]["images"] == 8 and lines(tmp_path / "out")[-1] == "large.jpg"


def test_a_damaged_file_of_digests_is_refused_by_name(done, pool, evaluation, tmp_path):
    digests = next((tmp_path / "out" / "shards").glob("*.sha256"))
    digests.write_bytes(digests.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"00000.sha256 cannot be read: it holds 10 digests instead of 12. .*00000.json"):
        run(pool, evaluation, tmp_path / "out", known=pool)
