"""The experiments' own arithmetic: what counts as a false alarm, what as seen."""

import json

from heapgauge import method


def trial(words, noisy=False):
    rows = [{"workload": "w", "backend": name, "role": "backend", "status": "ok", "value": truth, "low": truth - 0.001,
             "high": truth + 0.001, "word": word} for (name, truth), word in zip(method.PLANTED.items(), words)]
    return {"trial": 1, "load_average": [1.0, 1.0, 1.0], "noisy": noisy, "noise_floor": 0.01, "rows": rows}


SEEN = trial(["equivalent", "equivalent", "slower", "slower"])


def failed(trials):
    return [claim for claim, holds in method.verdicts(trials) if not holds]


def test_all_seen_and_no_false_alarm():
    assert failed([SEEN] * 20) == []


def test_one_false_alarm_in_thirty_is_allowed_two_are_not():
    for alarm in (trial(["slower", "equivalent", "slower", "slower"]), trial(["equivalent"] * 2 + ["slower"] * 2, noisy=True)):
        assert failed([SEEN] * 29 + [alarm]) == []
        assert "2 of 30" in failed([SEEN] * 28 + [alarm] * 2)[0]


def test_eighteen_of_twenty_is_enough_seventeen_are_not():
    missed = trial(["equivalent", "equivalent", "inconclusive", "slower"])
    assert failed([SEEN] * 18 + [missed] * 2) == []
    claims = failed([SEEN] * 17 + [missed] * 3)
    assert len(claims) == 1 and "slow-2%" in claims[0] and "17 of 20" in claims[0]


def test_the_table_tells_truth_and_cover():
    text = method.table([SEEN, trial(["equivalent", "equivalent", "faster", "slower"])], 20)
    assert "| w | slow-2%:core | 1.02 | 1.0200, 1.0200 to 1.0200 | slower 1, faster 1 | 2 of 2 |" in text
    assert "FAILS" in text and "load 1.0 to 1.0" in text


def test_trials_are_added_to_those_there(tmp_path, monkeypatch):
    def one_trial(number, workloads, rounds, scratch):
        return {**SEEN, "trial": number}
    monkeypatch.setattr(method, "one_trial", one_trial)
    for words, numbers in ((["--trials=2"], [1, 2]), (["--trials=3", "--add"], [1, 2, 3, 4, 5]), (["--trials=1"], [1])):
        method.main([*words, "-o", str(tmp_path)])
        assert [t["trial"] for t in json.loads((tmp_path / "trials.json").read_text())] == numbers
