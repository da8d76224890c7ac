"""The review's page over HTTP, and in a browser."""

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from bodyloop.annotate.decisions import Decision, DecisionFile, read_decisions
from bodyloop.body import BodyModel
from bodyloop.errors import InputError
from bodyloop.review.server import HOST, ReviewServer
from bodyloop.review_jobs import ReviewJob, open_review
from test_label_report import folder_of
from view.chromium import chromium, complaints, wait_for


@pytest.fixture
def out(body: BodyModel, tmp_path: Path) -> Path:
    folder_of(body, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def server(out: Path) -> Iterator[ReviewServer]:
    with open_review(ReviewJob(out, verdicts=("accept", "doubtful", "reject"))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(
    server: ReviewServer, method: str, path: str, body: Any = None, token: str | None = None, **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    connection = HTTPConnection(HOST, server.server_address[1], timeout=30)
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    connection.request(method, f"/{server.token if token is None else token}/{path}", data, sent)
    answer = connection.getresponse()
    found = answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}
    connection.close()
    return found


def about(server: ReviewServer, number: int) -> dict[str, Any]:
    status, data, _ = ask(server, "GET", f"people/{number}")
    assert status == 200
    found: dict[str, Any] = json.loads(data)
    return found


def test_page_and_pictures(server: ReviewServer):
    assert server.address == f"http://{HOST}:{server.server_address[1]}/{server.token}/"
    status, data, headers = ask(server, "GET", "")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"bodyloop review" in data
    assert "default-src 'none'" in headers["content-security-policy"]
    assert b"http" not in data.replace(b"http-equiv", b""), "nothing is loaded from elsewhere"
    status, data, headers = ask(server, "GET", "pictures/0")
    assert (status, headers["content-type"], data[:2]) == (200, "image/jpeg", b"\xff\xd8")


def test_the_lowest_score_comes_first(server: ReviewServer):
    people = [about(server, number) for number in range(7)]
    assert len({person["id"] for person in people}) == 7
    scores = [person["score"] for person in people]
    assert scores == sorted(scores)
    assert people[0]["of"] == 7
    assert people[0]["decision"] is None


def test_decisions_are_on_disk_when_they_are_answered(server: ReviewServer, out: Path):
    person = about(server, 2)
    decision = {"number": 2, "id": person["id"], "choice": "back", "note": "the left <leg>"}
    status, data, _ = ask(server, "POST", "decisions", decision)
    assert status == 200
    assert json.loads(data)["saved"]["choice"] == "back"
    saved = read_decisions(out)[person["id"]]
    assert (saved.choice, saved.note) == ("back", "the left <leg>")
    assert abs(saved.time - time.time()) < 60
    assert about(server, 2)["decision"]["note"] == "the left <leg>"
    ask(server, "POST", "decisions", {**decision, "choice": "accept", "note": ""})
    assert read_decisions(out)[person["id"]].choice == "accept"
    ask(server, "POST", "decisions", {**decision, "choice": "undo", "note": ""})
    assert read_decisions(out) == {}
    assert len((out / "review.jsonl").read_text().splitlines()) == 3


def decide(server: ReviewServer, number: int, choice: str = "accept") -> dict[str, Any]:
    sent = {"number": number, "id": about(server, number)["id"], "choice": choice}
    status, data, _ = ask(server, "POST", "decisions", sent)
    assert status == 200
    found: dict[str, Any] = json.loads(data)
    return found


def test_decided_are_those_of_the_queue(body: BodyModel, out: Path):
    """Others of the folder may be decided already: they are not of those who are shown."""
    file = DecisionFile(out)
    for person in range(100, 107):
        file.add(Decision(str(person), "accept"))
    with open_review(ReviewJob(out, verdicts=("reject",))) as server:
        people = len(server.queue)
        assert 0 < people < 7
        assert server.about(0)["decided"] == server.decided == people


def test_the_next_who_is_undecided(server: ReviewServer):
    def undecided(number: int) -> int | None:
        status, data, _ = ask(server, "GET", f"undecided/{number}")
        assert status == 200
        found: int | None = json.loads(data)["number"]
        return found

    assert undecided(0) == 0
    for number in (0, 1, 3):
        said = decide(server, number)
    assert said["decided"] == about(server, 5)["decided"] == 3
    assert [undecided(number) for number in range(8)] == [2, 2, 2, 4, 4, 5, 6, 2]
    for number in (2, 4, 5, 6):
        decide(server, number)
    assert undecided(3) is None
    decide(server, 1, "undo")
    assert undecided(3) == 1


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("people/7", "GET", 404), ("people/-1", "GET", 404), ("people/x", "GET", 404), ("people/1e3", "GET", 404),
        ("undecided/x", "GET", 404),
        ("pictures/99999999999999999", "GET", 404), ("../annotation.json", "GET", 404), ("people/0", "POST", 404),
        ("decisions", "GET", 404),
    ],
)  # fmt: skip
def test_what_is_not_there(server: ReviewServer, path: str, method: str, status: int):
    assert ask(server, method, path, {} if method == "POST" else None)[0] == status


@pytest.mark.parametrize(
    "change",
    [
        {"choice": "maybe"}, {"id": "another"}, {"note": 7}, {"note": "x" * 3000}, {"number": 99}, {"number": "x"},
        {"choice": None},
    ],
)  # fmt: skip
def test_nonsense_is_refused(server: ReviewServer, out: Path, change: dict[str, Any]):
    decision = {"number": 0, "id": about(server, 0)["id"], "choice": "accept", "note": ""}
    status, data, _ = ask(server, "POST", "decisions", {**decision, **change})
    assert status == 400
    assert "error" in json.loads(data)
    assert not (out / "review.jsonl").exists()


@pytest.mark.parametrize("content", [b"", b"no json", b"[]", b"{}", b"x" * 70_000])
def test_other_bytes_are_refused(server: ReviewServer, content: bytes):
    assert ask(server, "POST", "decisions", content)[0] == 400


def test_other_content_types_are_refused(server: ReviewServer):
    """A form of another page can send text, but no JSON."""
    decision = {"number": 0, "id": about(server, 0)["id"], "choice": "accept", "note": ""}
    assert ask(server, "POST", "decisions", decision, Content_Type="text/plain")[0] == 400


def test_strangers_are_turned_away(server: ReviewServer):
    for token in ("", "guess", server.token[:-1], server.token + "x", "%00"):
        assert ask(server, "GET", "", token=token)[0] == 403, token
        assert ask(server, "POST", "decisions", {}, token=token)[0] == 403
    assert ask(server, "GET", "", Host="evil.example")[0] == 403, "a name elsewhere that leads here"


def test_who_leaves_before_the_answer_is_nobody_s_trouble(server: ReviewServer, capfd):
    with socket.create_connection((HOST, server.server_address[1])) as stranger:
        stranger.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )  # resets, as browsers do
        path = f"/{server.token}/pictures/0"
        stranger.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}:{server.server_address[1]}\r\n\r\n".encode())
    for _ in range(3):
        assert ask(server, "GET", "pictures/0")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_only_this_machine(server: ReviewServer):
    assert server.server_address[0] == "127.0.0.1"


def test_bad_options(out: Path, server: ReviewServer):
    with pytest.raises(InputError, match="cannot be listened on"):
        open_review(ReviewJob(out, verdicts=("accept",), port=server.server_address[1]))
    with pytest.raises(InputError, match="0 to 65535"):
        open_review(ReviewJob(out, port=70_000))
    with pytest.raises(InputError, match="expected a folder of 'bodyloop annotate'"):
        open_review(ReviewJob(out / "labels"))
    with pytest.raises(InputError, match="nobody to review"):
        open_review(ReviewJob(out, verdicts=()))


@pytest.mark.browser
def test_in_a_browser(server: ReviewServer, out: Path):
    """By keyboard alone: accept, reject, send back with a note, undo."""
    with chromium(1200, 900) as browser:
        from selenium.webdriver.common.by import By
        from selenium.webdriver.common.keys import Keys

        browser.get(server.address)

        def shown(number: int) -> None:
            place = f"{number + 1} of 7"
            wait_for(place, lambda: browser.find_element(By.ID, "where").text.startswith(place))

        def press(*keys: str) -> None:
            browser.switch_to.active_element.send_keys(*keys)

        def saved(choices: list[str]) -> None:
            wait_for(str(choices), lambda: [d.choice for d in read_decisions(out).values()] == choices)

        shown(0)
        width = "return document.getElementById('picture').naturalWidth"
        wait_for("the picture", lambda: browser.execute_script(width) > 1000)
        press("a")
        shown(1)
        saved(["accept"])
        press("r")
        shown(2)
        saved(["accept", "reject"])
        press("b")
        press("arms are swapped", Keys.ENTER)
        shown(3)
        saved(["accept", "reject", "back"])
        press(Keys.ARROW_LEFT)
        shown(2)
        assert "arms are swapped" in browser.find_element(By.ID, "decision").text
        press("u")
        saved(["accept", "reject"])
        press("b")
        press("never mind", Keys.ESCAPE)
        press("n")
        shown(3)
        saved(["accept", "reject"])
        browser.get("about:blank")
        browser.get(server.address)
        shown(2)
        assert [line for line in complaints(browser) if "favicon" not in line] == []
    assert [d.id for d in read_decisions(out).values()] == [about(server, n)["id"] for n in (0, 1)]
