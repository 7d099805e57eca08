from __future__ import annotations

import stat

import pytest

from pipelines import road, stages
from pipelines.home import check_store, use_workspace
from synth.errors import InternalError, Interrupted, Rejected, UserError
from synth.progress import Silent
from synth.workspace import STAGES
from tests.pipelines import fakes


@pytest.fixture
def space(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return use_workspace(tmp_path / "space")


@pytest.fixture
def begin(plug, contract, space, tmp_path):
    def start(**more):
        return road.begin(contract, workspace=space, store=str(tmp_path / "store"), device="cpu", **more)

    return start


def walk(run):
    return road.direct(run, progress=Silent())


def test_walks_every_stage_once_and_publishes(begin, plug, tmp_path):
    run = walk(begin())
    assert plug.calls == ["ingest", "split", "fit", "generate", "judge"]
    assert list(run.read()["stages"]) == list(STAGES)
    assert run.read()["status"] == "published"
    assert len(list((tmp_path / "store").rglob("*.json"))) == 1


def test_a_blocked_gate_publishes_nothing_and_leaves_a_report(begin, plug, monkeypatch, tmp_path):
    for verdict in ("fail", "inconclusive"):
        monkeypatch.setenv("FAKE_VERDICT", verdict)
        fakes.install(monkeypatch)
        run = begin()
        with pytest.raises(Rejected, match=verdict) as caught:
            walk(run)
        assert caught.value.exit_code == 3
        assert (run.stage_folder("judge") / "report.html").is_file()
        assert not (tmp_path / "store").exists()
        assert run.read()["status"] == "rejected"


def test_the_plan_is_in_the_record_before_training(begin, plug):
    seen = []
    run = begin()
    plug.hooks["fit"] = lambda: seen.append(run.read()["plan"]["digest"])
    walk(run)
    assert seen == ["0" * 64]


def test_training_without_a_plan_is_refused(begin):
    run = begin()
    run.update(plan={})
    with pytest.raises(UserError, match="plan is not recorded"):
        walk(run)
    assert not run.read().get("trained")


def test_the_seed_is_drawn_and_recorded_or_given(begin):
    first, second = begin().read()["seed"], begin().read()["seed"]
    assert first != second
    assert begin(seed=7).read()["seed"] == 7


def test_attempts_are_counted_limited_and_acknowledged(begin, contract, space, monkeypatch):
    monkeypatch.setenv("FAKE_VERDICT", "fail")
    fakes.install(monkeypatch)
    for number in (1, 2, 3):
        run = begin()
        assert run.read()["attempts"]["number"] == number
        with pytest.raises(Rejected):
            walk(run)
    with pytest.raises(UserError, match="3 trainings") as caught:
        begin()
    assert caught.value.exit_code == 2 and "--acknowledge-attempts" in caught.value.todo
    run = begin(acknowledge="A. Reviewer: the data were corrected")
    assert run.read()["attempts"] == {"number": 4, "unpublished": 3, "allowed": 3,
                                      "acknowledged": "A. Reviewer: the data were corrected"}
    contract.write_text("name=other")  # another digest begins to count again
    assert begin().read()["attempts"]["number"] == 1


def test_a_published_run_clears_the_unpublished_ones(begin):
    for number in range(1, 6):
        run = begin(acknowledge="not needed, so not shown")
        assert run.read()["attempts"] == {"number": number, "unpublished": 0, "allowed": 3, "acknowledged": ""}
        walk(run)


def test_a_run_that_never_trained_is_no_attempt(begin, plug):
    plug.hooks["split"] = lambda: fakes.raise_(ValueError("x"))
    for _ in range(5):
        with pytest.raises(InternalError):
            walk(begin())
    assert begin().read()["attempts"]["number"] == 1


@pytest.mark.parametrize("stage", ["ingest", "split", "fit", "generate", "judge"])
def test_a_foreign_error_becomes_ours_without_its_text(begin, plug, stage):
    plug.hooks[stage] = lambda: fakes.raise_(ValueError(f"cannot convert {fakes.SECRET}"))
    run = begin()
    with pytest.raises(InternalError) as caught:
        walk(run)
    assert fakes.SECRET not in str(caught.value)
    assert caught.value.__suppress_context__ and caught.value.__cause__ is None
    assert fakes.SECRET in run.private_log.read_text()
    assert stat.S_IMODE(run.private_log.stat().st_mode) == 0o600
    assert fakes.SECRET not in (run.folder / "run.json").read_text()
    assert run.read()["status"] == "failed"


@pytest.mark.parametrize("stage", ["ingest", "fit", "judge"])
def test_ctrl_c_says_how_to_go_on_and_going_on_does_the_rest(begin, plug, stage):
    plug.hooks[stage] = lambda: fakes.raise_(KeyboardInterrupt())
    run = begin()
    with pytest.raises(Interrupted) as caught:
        walk(run)
    assert caught.value.exit_code == 130 and f"--resume {run.id}" in caught.value.todo
    assert road.status(run) == "interrupted"
    plug.hooks.clear()
    plug.calls.clear()
    walk(run)
    assert plug.calls == ["ingest", "split", "fit", "generate", "judge"][STAGES.index(stage):]


def test_a_changed_artefact_sends_a_resumed_run_back(begin, plug):
    run = walk(begin())
    (run.stage_folder("generate") / "generate.txt").write_text("changed")
    plug.calls.clear()
    walk(run)
    assert plug.calls == ["generate", "judge"]


def test_a_changed_report_is_not_published(begin, monkeypatch):
    run = begin()
    monkeypatch.setitem(stages.BODIES, "publish", lambda job: fakes.raise_(KeyboardInterrupt()))
    with pytest.raises(Interrupted):
        walk(run)
    (run.stage_folder("judge") / "report.json").write_text('{"verdict": "better"}')
    with pytest.raises(UserError, match="not judged, or its report was changed"):
        stages.publish(stages.Job.open(run.folder, Silent()))


def test_a_contract_changed_under_a_run_is_refused(begin, contract):
    run = begin()
    contract.write_text("name=tiny attempts=9")
    with pytest.raises(UserError, match="changed since this run began"):
        walk(run)


def test_two_processes_on_one_run(begin):
    run = begin()
    with run.lock(), pytest.raises(UserError, match="another process"):
        walk(run)
    assert road.status(run) == "stopped"  # a killed run: it says running, and nobody holds it
    with run.lock():
        assert road.status(run) == "running"


def test_real_data_that_breaks_its_contract(begin, monkeypatch):
    monkeypatch.setenv("FAKE_GX", "fail")
    run = begin()
    with pytest.raises(UserError) as caught:
        walk(run)
    text = str(caught.value)
    assert "expect_column_values_to_be_between" in text and "'age'" in text and "3 of 100" in text
    assert "ingest" not in run.read()["stages"]


@pytest.mark.parametrize("store", ["s3://key:secret@bucket/x", "s3://bucket/x?X-Amz-Signature=secret",
                                   "https://user@host/x", "s3://bucket/x#secret"])
def test_a_store_with_credentials_is_refused_without_repeating_them(store):
    with pytest.raises(UserError) as caught:
        check_store(store)
    assert "secret" not in str(caught.value) and "user" not in str(caught.value)


def test_plain_stores_are_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert check_store("s3://bucket/x/") == "s3://bucket/x"
    assert check_store("releases") == str(tmp_path / "releases")


def test_the_workspace_is_for_its_user_alone(space, begin):
    walk(begin())
    for path in [space, *space.rglob("*")]:
        assert not path.stat().st_mode & 0o077, path


def test_a_workspace_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="workspace cannot be written"):
        use_workspace(tmp_path / "file" / "space")


@pytest.mark.parametrize("device", ["tpu", ""])
def test_unknown_devices_are_refused(device):
    with pytest.raises(UserError, match="unknown device"):
        road.resolve_device(device)
