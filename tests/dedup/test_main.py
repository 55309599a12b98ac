import json

import cv2
import pytest

from dedup import read_matches
from dedup.__main__ import main


def test_the_command_cleans_a_list_and_draws_what_it_removed(pool, evaluation, tmp_path, capsys):
    out = tmp_path / "out"
    lists = [str(pool / "list.txt"), "--against", str(evaluation / "list.txt")]
    assert main([*lists, "--out", str(out), "--max-errors", "1"]) == 0
    printed = capsys.readouterr().out
    assert "compared: 12 of 12" in printed
    assert "12 images: 6 kept, 4 removed (1 by sha256, 2 by hash, 1 by sift), 2 unreadable" in printed
    assert printed.splitlines()[-2:] == [str(out / "kept.txt"), str(out / "removed.tsv")]
    assert main(["sheet", str(out / "removed.tsv"), "--limit", "3", "--pairs", str(tmp_path / "pairs")]) == 0
    assert cv2.imread(str(out / "removed.png")) is not None
    assert len(list((tmp_path / "pairs").glob("*.png"))) == 3


def test_what_the_user_can_mend_is_one_paragraph_and_status_2(tmp_path, capsys):
    assert main([str(tmp_path / "none.txt"), "--against", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("dedup: ") and "none.txt cannot be read" in error and error.count("\n") == 1


@pytest.mark.parametrize("option, message", [
    ("min_inlier=6", "there is no option 'min_inlier'"), ("min_inliers=six", "expected a value of type int, got 'six'"),
    ("min_agreement=3", r"must lie in [0, 1]")])
def test_wrong_options_are_named(pool, evaluation, tmp_path, capsys, option, message):
    assert main([str(pool), "--against", str(evaluation), "--out", str(tmp_path / "out"), "-o", option]) == 2
    assert message in capsys.readouterr().err


def test_options_are_read_as_their_type(pool, evaluation, tmp_path, capsys):
    status = main([str(pool), "--against", str(evaluation), "--out", str(tmp_path / "out"), "--max-errors", "0.5",
                   "-o", "min_inliers=9999", "-o", "hash_radius=0"])
    assert status == 0
    assert "1 removed (1 by sha256)" in capsys.readouterr().out


def test_a_sheet_without_its_manifest_needs_roots(pool, evaluation, tmp_path, capsys):
    table = tmp_path / "removed.tsv"
    table.write_text("pool_path\teval_path\treason\tinliers\tagreement\thash_distance\tcosine\taffine\tmirrored\n"
                     "crop.jpg\t1.png\tsift\t50\t0.9000\t\t\t1,0,60,0,1,30\t0\n")
    assert main(["sheet", str(table)]) == 2
    assert "Give --pool-root and --eval-root" in capsys.readouterr().err
    assert main(["sheet", str(table), "--pool-root", str(pool), "--eval-root", str(evaluation)]) == 0


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "python -m dedup pool/list.txt --against val/list.txt --out clean/" in capsys.readouterr().out


def test_overrides_known_pictures_and_a_dry_run_are_arguments(pool, evaluation, tmp_path, capsys):
    (tmp_path / "overrides.tsv").write_text("decision\tpath\nkeep\tcrop.jpg\n")
    arguments = [str(pool / "list.txt"), "--against", str(evaluation), "--out", str(tmp_path / "out"), "--max-errors", "1",
                 "--overrides", str(tmp_path / "overrides.tsv"), "--known", str(pool / "other13.jpg"), "--dry-run"]
    assert main(arguments) == 2         # a picture is no list
    assert "other13.jpg" in capsys.readouterr().err
    (tmp_path / "known.txt").write_text("other13.jpg\n")
    (tmp_path / "other13.jpg").write_bytes((pool / "other13.jpg").read_bytes())
    arguments[arguments.index("--known") + 1] = str(tmp_path / "known.txt")
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "4 removed (1 by sha256, 2 by hash, 1 by listed)" in printed and "dry run, no list written" in printed
    assert not (tmp_path / "out" / "kept.txt").exists()


def test_pairs_inside_the_pool_are_an_argument(pool, evaluation, tmp_path, capsys):
    (pool / "twin.jpg").write_bytes((pool / "other15.jpg").read_bytes())
    arguments = [str(pool), "--against", str(evaluation), "--max-errors", "1", "--out",
                 str(tmp_path / "out"), "--sources", "hash"]
    assert main(arguments) == 0
    assert "1 by pool-duplicate" in capsys.readouterr().out
    arguments[-1] = "hush"
    assert main(arguments) == 2
    assert "hush" in capsys.readouterr().err


def test_thresholds_of_another_network_are_refused(pool, evaluation, tmp_path, capsys):
    (tmp_path / "thresholds.json").write_text('{"embedding": "a:b", "t_cand": 0.5, "t_auto": null}')
    assert main([str(pool), "--against", str(evaluation), "--out", str(tmp_path / "out"), "--embed", "colours:mean",
                 "--thresholds", str(tmp_path / "thresholds.json")]) == 2
    assert "holds thresholds of a:b, but --embed is colours:mean" in capsys.readouterr().err


def test_a_network_is_calibrated_and_used(pool, evaluation, tmp_path, capsys, monkeypatch):
    (tmp_path / "colours.py").write_text(
        "import numpy as np\nfrom dedup import read_colour\nimport cv2\n\n\n"
        "def small(files):\n"
        "    small = [cv2.resize(read_colour(f), (6, 6), interpolation=cv2.INTER_AREA) for f in files]\n"
        "    return np.stack(small).reshape(len(files), -1) - 128.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    network = ["--against", str(evaluation), "--embed", "colours:small"]
    assert main(["calibrate", *network, "--out", str(tmp_path / "thresholds"), "--images", "2"]) == 0
    assert "t_cand" in capsys.readouterr().out
    assert main([str(pool), *network, "--max-errors", "1", "--out", str(tmp_path / "out"), "--thresholds",
                 str(tmp_path / "thresholds" / "thresholds.json")]) == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["candidates_from"][-1] == "feature" and manifest["parameters"]["embedding"] == "colours:small"
    assert {"same.png", "jpeg.jpg", "crop.jpg", "mirror.jpg"} <= {
        m.query for m in read_matches(tmp_path / "out" / "removed.tsv")}
